//! The command line: one file per command (its arguments and its `run`), rendering, exit codes.
//!
//! Invariant: only this layer prints, and only through `out`.

mod args;
pub mod check;
mod complete;
mod conflicts;
mod demo;
mod dispatch;
mod doctor;
mod documents;
mod explain;
mod failure;
mod full;
mod health;
mod hold;
mod init;
mod librarian;
mod live;
mod logs;
mod out;
mod profile;
pub mod progress;
mod publish;
pub mod render;
mod report;
mod rollback;
pub mod runs;
mod service;
mod service_args;
mod shell;
mod snapshots;
mod status;
mod stop;
mod sync;
mod truth;
mod verify;
mod watch;
mod worker_state;

pub use args::{Cli, Command, Global};
pub use dispatch::main;
pub use failure::Failure;
