//! The lab: a laptop and a server on this machine, joined by a real sshd on the loopback.
//!
//! Two directories play the homes of two hosts. A session that comes in over ssh finds `HOME` set to the
//! server's home, so the real unison, rsync and sh on the far side behave as they would on another machine.
//! Nothing of the user's own `~/.ssh` is read or written, and dropping a [`Lab`] ends every process it caused.
//!
//! `UBOS_LAB_KEEP=1` leaves the directory behind for a look at it.
#![allow(
    dead_code,
    unused_imports,
    reason = "every test binary uses its own part of the lab"
)]
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]
#![allow(clippy::print_stderr, reason = "a test says what it skips")]

mod dice;
mod disk;
mod gate;
mod procs;
mod pty;
mod run;
mod schema;
mod snapshot;
mod sshd;
mod tools;
mod tree;
mod unprivileged;
mod world;

pub use dice::{Dice, seed, torture};
pub use disk::Disk;
pub use gate::{At, Gate};
pub use procs::{Proc, alive, processes, signal};
pub use pty::Pty;
pub use run::{Output, Running, wait_until};
pub use schema::faults;
pub use snapshot::{Entry, Kind, Snapshot, truth_difference};
pub use sshd::Sshd;
pub use tools::{Unison, find_program, libfaketime, need, tool_path, unison_251};
pub use tree::{mtime_ns, set_mtime};
pub use world::{Lab, LabBuilder, Side};
