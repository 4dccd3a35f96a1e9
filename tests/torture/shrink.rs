//! From a list of steps that fails to a short one that fails: chunks are left out, then single steps, and what is run again is
//! always a whole list from the beginning.
//!
//! Invariant: the list that comes back has been seen to fail; the search is bounded by runs and by time.

use std::time::{Duration, Instant};

/// How long the search may take.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    pub runs: usize,
    pub time: Duration,
}

/// The shortest list found for which `fails` holds. `fails` holds for `steps`.
pub fn shrink<T: Clone>(steps: &[T], bound: Bound, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let (mut best, mut runs, began) = (steps.to_vec(), 0, Instant::now());
    let mut chunk = best.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        let mut is_shorter = false;
        while at < best.len() {
            if runs >= bound.runs || began.elapsed() >= bound.time {
                return best;
            }
            let end = (at + chunk).min(best.len());
            let rest = [&best[..at], &best[end..]].concat();
            runs += 1;
            if fails(&rest) {
                best = rest;
                is_shorter = true;
            } else {
                at = end;
            }
        }
        // A step may be needed only by one that has gone since.
        chunk = match (chunk, is_shorter) {
            (1, true) => 1,
            _ => chunk / 2,
        };
    }
    best
}
