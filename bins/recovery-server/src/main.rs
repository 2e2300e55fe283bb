//! `nova-recovery`: reads the command line and runs what it says.

use std::process::ExitCode;

fn main() -> ExitCode {
    recovery_server::cli::main()
}
