//! Two things at the same time.
//!
//! Invariant: a panic is never swallowed with the thread that it ended.

use std::thread::ScopedJoinHandle;

/// What a thread came to; its panic is ours.
pub fn joined<T>(thread: ScopedJoinHandle<T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
