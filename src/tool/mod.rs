//! One file per program that we drive: each builds an invocation and parses bytes. Pure: nothing here starts anything.

pub mod ear;
pub mod facts;
pub mod filesystem;
pub mod git;
pub mod gitleaks;
pub mod manager;
pub mod publish_scripts;
pub mod remote;
pub mod rsync;
pub mod rsync_push;
pub mod secrets;
pub mod ssh;
pub mod unison;
pub mod unison_profile;
pub mod units;
