//! The doorbell.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
