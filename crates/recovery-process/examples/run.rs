//! Runs a program with a clean environment and a time limit: `cargo run -p recovery-process --example run`.

use std::time::Duration;

use recovery_core::port::{Command, CommandRunner};
use recovery_process::ProcessRunner;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let command = Command::new("/bin/sh")
        .arg("-c")
        .arg("echo \"The environment holds GREETING=$GREETING and HOME='$HOME'.\"; echo careful >&2; exit 3")
        .env("GREETING", "hello")
        .secret_env("PGPASSWORD", "never shown".into())
        .timeout(Duration::from_secs(5));

    println!("{command:?}");
    let output = ProcessRunner::new().run(command).await?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    println!("It ended with {} and said {:?}.", output.exit, output.stderr_tail);
    Ok(())
}
