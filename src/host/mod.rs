//! The only door to the world: clock, files, processes, signals, and the links to hosts.

pub mod clock;
pub mod contents;
pub mod credentials;
pub mod events;
pub mod export;
pub mod files;
pub mod link;
pub mod log_files;
pub mod messenger;
pub mod plain_files;
pub mod policy_file;
pub mod process;
pub mod shell;
pub mod signals;
pub mod sockets;
pub mod supervisor;
pub mod sweep;
