//! The program: everything of substance is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(ubos_sync::cli::main())
}
