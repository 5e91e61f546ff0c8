//! The project's chores, as a program.
fn main() {}
