//! `farrier-cc`, and whatever name it is linked as.

fn main() -> std::process::ExitCode {
    wrapper::main(std::env::args_os().collect())
}
