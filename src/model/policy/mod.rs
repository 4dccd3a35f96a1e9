//! The policy: the one file a user writes, parsed, resolved against its directory and validated.

mod types;

pub use types::*;
