//! The program: its command line and its environment, read here and nowhere else.

use std::process::ExitCode;

fn main() -> ExitCode {
    argoexec_tasks::run(std::env::args_os().skip(1), std::env::vars())
}
