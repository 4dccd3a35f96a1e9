//! The append-only lane: what a peer's logs gained comes behind what is held, through a stage that is verified first.
//!
//! The way of the data: `held` (what is here) → `probe` (what is there) → `plan` (one step per log) → `carry` (`pull` into a
//! stage, compare, append; `rotate` when another generation began) → `run` (the documents). Invariant: no byte that is held is
//! ever overwritten or cut, whatever the other side shows.

pub mod carry;
pub mod guard;
pub mod held;
pub mod plan;
pub mod probe;
pub mod pull;
pub mod rotate;
pub mod run;
pub mod survey;
pub mod undo;
pub mod verify;
