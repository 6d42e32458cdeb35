use std::process::ExitCode;

fn main() -> ExitCode {
    emissary_webhook::cli::run()
}
