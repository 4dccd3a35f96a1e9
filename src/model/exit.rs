//! Exit codes, documented once, mapped in one place.

use super::record::Outcome;

pub const DONE: u8 = 0;
pub const FAILED: u8 = 1;
pub const USAGE: u8 = 2;
pub const REFUSED: u8 = 3;
pub const LEFT: u8 = 4;
pub const OFFLINE: u8 = 5;
pub const LOCKED: u8 = 6;
pub const PENDING: u8 = 7;
pub const INTERRUPTED: u8 = 130;
pub const TERMINATED: u8 = 143;

/// The code of one outcome. `anything_left` is whether conflicts or items were left for a person.
pub fn code_of(outcome: Outcome, anything_left: bool) -> u8 {
    match outcome {
        Outcome::Failed => FAILED,
        Outcome::Refused => REFUSED,
        Outcome::Offline | Outcome::Unreachable => OFFLINE,
        Outcome::Locked => LOCKED,
        Outcome::Interrupted => INTERRUPTED,
        Outcome::Partial => LEFT,
        _ if anything_left => LEFT,
        _ => DONE,
    }
}
