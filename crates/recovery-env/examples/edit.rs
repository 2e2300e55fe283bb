//! Changes one variable of a `.env` file, and nothing else in it. On a file of its own:
//! `cargo run -p recovery-env --example edit`; on another with the arguments `FILE NAME VALUE`.

use std::error::Error;

use recovery_core::port::EnvFile as _;
use recovery_env::{DiskEnvFile, EnvDocument};

const SAMPLE: &str = "# Levels: debug, info, warning\nexport LOG_LEVEL=info   # for now\nLOG_FORMAT='text'\n";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join(".env");
        std::fs::write(&path, SAMPLE)?;
        change(&path, "LOG_LEVEL", "debug").await?;
        print!("{}", std::fs::read_to_string(&path)?);
        return Ok(());
    };
    let (name, value) = arguments.next().zip(arguments.next()).ok_or("edit FILE NAME VALUE")?;
    change(path.as_ref(), &name, &value).await
}

async fn change(path: &std::path::Path, name: &str, value: &str) -> Result<(), Box<dyn Error>> {
    let file = DiskEnvFile::new(path);
    let content = file.read().await?;
    let mut document = EnvDocument::parse(content.bytes)?;
    document.set(&name.parse()?, value)?;
    // Fails where somebody else has changed the file since it was read.
    file.replace(document.bytes(), &content.version).await?;
    Ok(())
}
