//! farrier: one program, many roles.
fn main() {}
