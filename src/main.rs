//! The program: everything of substance is in the library.

fn main() {}
