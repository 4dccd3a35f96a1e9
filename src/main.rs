//! The program: everything of substance is in the library.

use std::process::ExitCode;

/// Cycle after cycle, what many short threads freed stays with them in the usual allocator; this one gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(ubos_sync::cli::main())
}
