//! The wish to stop: SIGINT, SIGTERM and SIGHUP set a flag that every wait looks at.
//!
//! Invariants: the handler of the first signal only sets flags; a run ends by its own code, so that locks are let go and the record
//! closed. A SIGINT or SIGTERM that comes more than a second after that ends the process on the spot, which is as safe as `kill -9`:
//! everything it started hangs on pipes of it. Not sooner: `timeout` sends one to the program and another to its group.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::host::clock;

static WISH: OnceLock<Arc<AtomicUsize>> = OnceLock::new();
/// Whether the next signal ends the process.
static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// When the wish was first seen.
static SEEN: Mutex<Option<Instant>> = Mutex::new(None);
/// What comes sooner is the same wish.
const SAME: Duration = Duration::from_secs(1);

fn seen() -> MutexGuard<'static, Option<Instant>> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to listen; harmless when called twice.
pub fn listen() {
    if WISH.get().is_some() {
        return;
    }
    let flag = WISH.get_or_init(Default::default);
    let asked = ASKED.get_or_init(Default::default);
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let _ = signal_hook::flag::register_conditional_shutdown(
            signal,
            128 + signal,
            Arc::clone(asked),
        );
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
    *seen() = None;
}

/// The signal that asked us to stop, if any did.
pub fn stop_wish() -> Option<usize> {
    let wish = WISH.get()?.load(Ordering::Relaxed);
    if wish == 0 {
        return None;
    }
    let now = clock::monotonic();
    if now.duration_since(*seen().get_or_insert(now)) > SAME
        && let Some(asked) = ASKED.get()
    {
        asked.store(true, Ordering::Relaxed);
    }
    Some(wish)
}
