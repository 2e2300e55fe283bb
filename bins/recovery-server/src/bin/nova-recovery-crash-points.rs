//! `nova-recovery` for tests: the same program, which dies or waits at the moment that its environment names.

use std::process::ExitCode;

fn main() -> ExitCode {
    recovery_server::crash::install();
    recovery_server::cli::main()
}
