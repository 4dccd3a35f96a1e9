//! One file per program that we drive: each builds an invocation and parses bytes. Pure: nothing here starts anything.

pub mod facts;
pub mod remote;
pub mod rsync;
pub mod ssh;
pub mod unison;
pub mod unison_profile;
