//! The wish to stop: SIGINT, SIGTERM and SIGHUP set a flag that every wait looks at.
//!
//! Invariant: the handler only sets flags; a run ends by its own code, so that locks are let go and the record closed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

static WISH: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Begins to listen; harmless when called twice.
pub fn listen() {
    let flag = WISH.get_or_init(Default::default);
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
}

/// The signal that asked us to stop, if any did.
pub fn stop_wish() -> Option<usize> {
    WISH.get()
        .map(|w| w.load(Ordering::Relaxed))
        .filter(|n| *n != 0)
}
