//! `nova-stand-in`: a server of language models, or the gateway before them, as far as Nova Recovery can tell.

use anyhow::Result;
use clap::Parser;
use recovery_tests::stand_in::{self, Role};

/// Stands in for a server of language models, or for the gateway before them
#[derive(Parser)]
#[command(name = "nova-stand-in")]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[tokio::main]
async fn main() -> Result<()> {
    stand_in::run(Arguments::parse().role).await
}
