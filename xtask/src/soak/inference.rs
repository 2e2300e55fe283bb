//! Changes between the servers of language models under the full load, as `cargo xtask test` makes some of them under a
//! lighter one: the same test, told to take its time.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{docker::Engine, packages, servers, shell};

/// The test, and the variable that makes it the long one.
const TEST: &str = "inference_changes::changes_and_model_switches_under_load_drop_nothing";
const FULL: &str = "NOVA_RECOVERY_FULL_LOAD";

/// Ten changes and ten switches of models with fifty streams of up to forty seconds; fails where one request is dropped.
pub(super) fn run(binary: &Path) -> Result<()> {
    packages::ensure()?;
    let engine = Engine::take()?;
    let variables = servers::variables()?.into_iter().chain(engine.variables());
    println!("ten changes of the inference server and ten of its model, with fifty streams of 1 to 40 s");
    let arguments =
        ["test", "--package", "recovery-tests", "--test", "e2e", "--", "--exact", TEST, "--nocapture"];
    let mut test = shell::cargo(arguments);
    test.env("NOVA_RECOVERY_BIN", binary).env(FULL, "1").envs(variables);
    shell::run(&mut test).context("requests were dropped, or a change did not succeed")
}
