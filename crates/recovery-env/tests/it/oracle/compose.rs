//! Asking Compose.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use recovery_env::EnvKey;
use recovery_testkit::servers::DockerEngine;
use serde_json::Value;

/// The variables of a file that have names as we know them.
pub(super) type Reading = BTreeMap<String, String>;

/// Names that Compose is asked for one by one.
const NAMES: [&str; 11] = ["A", "B", "C", "D", "E", "AB", "Ab", "export", "exportA", "HF_TOKEN", "LOG_LEVEL"];

/// Lets Compose read each text as the `.env` of a project; `None` where it refuses. A few at once.
pub(super) fn read_as_project(texts: &[&str]) -> Vec<Option<Reading>> {
    let mut file = "services:\n  probe:\n    image: x\n    environment:\n".to_owned();
    for name in NAMES {
        // What is not set must not look as if it were empty.
        let _ = writeln!(file, "      {name}: ${{{name}-<unset>}}");
    }
    let next = AtomicUsize::new(0);
    let worker = || {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("compose.yml"), &file).unwrap();
        let mut found = Vec::new();
        while let Some((index, text)) = texts.iter().enumerate().nth(next.fetch_add(1, Relaxed)) {
            fs::write(directory.path().join(".env"), text).unwrap();
            let reading = config(directory.path()).ok().map(|config| {
                let mut reading = environment(&config["services"]["probe"]);
                reading.retain(|_, value| value != "<unset>");
                reading
            });
            found.push((index, reading));
        }
        found
    };
    let mut found: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, reading)| reading).collect()
}

/// Lets Compose read any number of files in one call, each as the `env_file` of a service: it has one reader for both.
/// The error is its own, where it refuses one of them.
pub(super) fn read_many(files: &[&[u8]]) -> Result<Vec<Reading>, String> {
    let directory = tempfile::tempdir().unwrap();
    let mut compose = "services:\n".to_owned();
    for (index, bytes) in files.iter().enumerate() {
        let _ = writeln!(compose, "  s{index}:\n    image: x\n    env_file: [{index}.env]");
        fs::write(directory.path().join(format!("{index}.env")), bytes).unwrap();
    }
    fs::write(directory.path().join("compose.yml"), compose).unwrap();
    let config = config(directory.path())?;
    Ok((0..files.len()).map(|index| environment(&config["services"][format!("s{index}")])).collect())
}

fn config(directory: &Path) -> Result<Value, String> {
    let output = Command::new(DockerEngine::compose_program())
        .args(["-p", "oracle", "--project-directory"].map(OsStr::new))
        .arg(directory)
        .args(["config", "--format", "json"])
        .env_clear()
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("Compose runs");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// The environment of a service. Compose prints it as it would have to stand in a Compose file, where `$$` is a `$`.
fn environment(service: &Value) -> Reading {
    let variables = service["environment"].as_object().cloned().unwrap_or_default();
    let named = variables.into_iter().filter(|(name, _)| name.parse::<EnvKey>().is_ok());
    named.filter_map(|(name, value)| Some((name, value.as_str()?.replace("$$", "$")))).collect()
}
