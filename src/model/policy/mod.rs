//! The policy: the one file a user writes, parsed, resolved against its directory and validated.
//!
//! `source` (bytes to table) → `reader` and `values` (table to values, all faults at once) → the
//! sections (`machine`, `truth`, `peers`, `publish`) → `checks` (contradictions) → [`Policy`].

mod checks;
mod fault;
mod machine;
mod peers;
mod place;
mod publish;
mod reader;
mod resolve;
mod settings;
mod source;
mod truth;
mod types;
mod values;

pub use fault::Fault;
pub use place::{Env, normal, relative_to};
pub use publish::always_excluded;
pub use resolve::read;
pub use settings::{Origin, Setting};
pub use source::MAX_BYTES;
pub use truth::SCHEMA_FILE;
pub use types::*;
pub use values::{parse_duration, show_duration};

#[cfg(test)]
mod shape_tests;
#[cfg(test)]
mod tests;
