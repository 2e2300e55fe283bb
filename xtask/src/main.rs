//! The commands of a developer's day: `cargo xtask up`, `test`, `servers`, `images`, `bench`, `soak`,
//! `screenshots`, `tidy`, `openapi`.
//!
//! Nothing here is part of the product, and nothing of the product is linked in: the service is run as the program
//! that a user would run.

mod apt;
mod axe;
mod bench;
mod browser;
mod cluster;
mod docker;
mod http;
mod openapi;
mod packages;
mod redis;
mod sample;
mod screenshots;
mod servers;
mod service;
mod shell;
mod signal;
mod soak;
mod test;
mod tidy;
mod up;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands of Nova Recovery
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// From a fresh Debian machine to a running service with a sample database
    Up(up::Options),
    /// Everything that must hold: format, lints, rules, documents, tests against real servers, examples
    Test,
    /// Where the PostgreSQL servers and the container engine of the tests are, as lines for `eval`; fetches what is missing
    Servers,
    /// The images that docker/compose.yml and docker/compose.sample.yml name: built, pulled, or made of packages
    Images(docker::images::Options),
    /// Speed and memory against pg_dump, pg_restore and the classic way, with limits
    Bench(bench::Options),
    /// Kills the service at random moments for five minutes, and looks at what the next start makes of it
    Soak(soak::Options),
    /// Pictures of the console in its main states, under target/screenshots
    Screenshots(screenshots::Options),
    /// The rules that the compiler does not check: layers, file sizes, leftovers
    Tidy,
    /// Writes docs/openapi.json and docs/configuration.md from the code
    Openapi,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Up(options) => up::run(&options),
        Command::Test => test::run(),
        Command::Servers => servers::show(),
        Command::Images(options) => docker::images::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Screenshots(options) => screenshots::run(&options),
        Command::Tidy => tidy::run(),
        Command::Openapi => openapi::write(),
    }
}
