//! `nova-recovery`: reads the command line and runs what it says.

use std::{process::ExitCode, time::Duration};

use clap::Parser as _;
use recovery_server::cli::{self, Arguments};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Two threads: dumping and loading happen in PostgreSQL's own programs, and each thread costs memory.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let status = runtime.block_on(cli::run(arguments));
            // What was left in a hurry gets a moment to end its programs; a thread that reads a large file is not
            // waited for.
            runtime.shutdown_timeout(Duration::from_secs(1));
            status
        }
        Err(error) => cli::cannot_start(&error),
    }
}
