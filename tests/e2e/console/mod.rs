//! The console in a real browser, against the real service.

mod arrival;
mod browser;
mod elsewhere;
mod hostile;
mod keyboard;
mod live;
mod looks;
mod outage;
mod platform;
mod reset;
mod verdict;
mod work;

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::service::World;

/// A world without containers, whatever the machine has.
fn world() -> World {
    World::new().with("DOCKER_HOST", "unix:///nowhere/docker.sock")
}

/// Gives the machine a GPU of this model, as far as the vendor's tool tells.
fn with_gpu(world: World, model: &str) -> World {
    let tools = world.directory.path().join("tools");
    fs::create_dir(&tools).unwrap();
    let tool = tools.join("nvidia-smi");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n  *utilization.gpu*) echo '0, 37, 20480, 24576, 61, 210.55, {model}' ;;\n  \
         *memory.total*) echo '0, GPU-a, 00000000:01:00.0, 24576, {model}' ;;\n  \
         -L) echo 'GPU 0: {model} (UUID: GPU-a)' ;;\n  *) exit 2 ;;\nesac\n"
    );
    fs::write(&tool, script).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let file = world.directory.path().join("hardware.json");
    fs::write(&file, r#"{"docker_gpu_runtime": "nvidia"}"#).unwrap();
    world
        .with("GPU_TOOL_DIRS", format!("{}:/usr/bin:/bin", tools.display()))
        .with("HARDWARE_FILE", file.to_str().unwrap())
}
