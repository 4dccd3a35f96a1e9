//! The search for secrets without another program: the rules that gitleaks ships (`gitleaks.toml`, under its own licence, see
//! `LICENSE.gitleaks`) and any rule file of that format, applied to bytes. Pure.
//!
//! Invariants: a rule that cannot be understood is an error, never left out; of a secret only its rule and line leave this module.

pub mod regexes;
pub mod rules;
mod search;

pub use rules::Rules;

/// The rules that gitleaks 8.30.1 ships. Renewed by copying its `config/gitleaks.toml` here.
pub const DEFAULT: &str = include_str!("gitleaks.toml");
