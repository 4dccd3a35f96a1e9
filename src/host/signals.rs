//! The wish to stop: SIGINT, SIGTERM and SIGHUP set a flag that every wait looks at.
//!
//! Invariants: the handler of the first signal only sets flags; a run ends by its own code, so that locks are let go and the record
//! closed. A second SIGINT or SIGTERM ends the process on the spot, which is as safe as `kill -9`: everything it started hangs on
//! pipes of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

static WISH: OnceLock<Arc<AtomicUsize>> = OnceLock::new();
/// Whether the next signal ends the process.
static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Begins to listen; harmless when called twice.
pub fn listen() {
    if WISH.get().is_some() {
        return;
    }
    let flag = WISH.get_or_init(Default::default);
    let asked = ASKED.get_or_init(Default::default);
    // Handlers run in the order of their registration: the first signal finds the flag unset.
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let _ = signal_hook::flag::register_conditional_shutdown(
            signal,
            128 + signal,
            Arc::clone(asked),
        );
        let _ = signal_hook::flag::register(signal, Arc::clone(asked));
    }
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ] {
        let number = usize::try_from(signal).unwrap_or(15);
        let _ = signal_hook::flag::register_usize(signal, Arc::clone(flag), number);
    }
}

/// The wish is taken note of: what comes now is to be done in spite of it. Another signal is a new wish.
pub fn forget() {
    if let Some(wish) = WISH.get() {
        wish.store(0, Ordering::Relaxed);
    }
    if let Some(asked) = ASKED.get() {
        asked.store(false, Ordering::Relaxed);
    }
}

/// The signal that asked us to stop, if any did.
pub fn stop_wish() -> Option<usize> {
    WISH.get()
        .map(|w| w.load(Ordering::Relaxed))
        .filter(|n| *n != 0)
}
