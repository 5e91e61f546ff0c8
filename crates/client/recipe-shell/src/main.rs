//! The program: see the library.

fn main() -> std::process::ExitCode {
    let argv: Vec<_> = std::env::args_os().collect();
    recipe_shell::main(&argv)
}
