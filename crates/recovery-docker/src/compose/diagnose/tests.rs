//! Recorded from Compose 2.26 with engine 20.10 where nothing else is said.

use recovery_core::Problem;

use super::*;

fn services(names: &str) -> Vec<ServiceName> {
    names.split(' ').map(|name| name.parse().unwrap()).collect()
}

fn failed(task: &Task<'_>, status: i32, stderr: &str) -> ComposeError {
    let output =
        CommandOutput { exit: Exit::Status(status), stdout: Vec::new(), stderr_tail: stderr.to_owned() };
    diagnose(&"nova".parse().unwrap(), task, &output)
}

fn check(task: &Task<'_>, status: i32, stderr: &str, expect: &str) {
    let error = failed(task, status, stderr);
    let words = error.to_string();
    assert_eq!(words, expect, "{stderr}");
    let inside = format!("{error:?} {:?}", harmless_words(stderr));
    let shown = format!("{inside} {:?}", Problem::from(error));
    assert!(!shown.contains("hunter2") && !shown.contains("/srv/nova"), "{shown}");
}

fn starting(status: i32, stderr: &str, expect: &str) {
    check(&Task::Start(&services("tool")), status, stderr, expect);
}

fn reading(status: i32, stderr: &str, expect: &str) {
    check(&Task::Model, status, stderr, expect);
}

#[test]
fn an_engine_that_cannot_be_used_is_named() {
    let away = "the container engine does not answer";
    starting(
        1,
        "Cannot connect to the Docker daemon at unix:///srv/nova.sock. Is the docker daemon running?",
        away,
    );
    // Docker 29.
    starting(
        1,
        "failed to connect to the docker API at tcp://proxy:2375: dial tcp: lookup proxy: no such host",
        away,
    );
    let refused = "the container engine refuses recovery";
    starting(
        1,
        "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get \"http://%2Fvar%2Frun%2Fdocker.sock/v1.45/containers/json\": dial unix /var/run/docker.sock: connect: permission denied",
        refused,
    );
    starting(
        1,
        "Error response from daemon: <html><body><h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.\n</body></html>",
        refused,
    );
}

#[test]
fn an_image_that_cannot_be_had_is_named_where_the_engine_names_it() {
    starting(
        18,
        " tool Pulling \n tool Error Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io on 10.0.0.1:53: no such host\nError response from daemon: Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io on 10.0.0.1:53: no such host\n",
        "the image is not there, and its registry does not answer",
    );
    starting(
        1,
        " Container nova-tool-1  Creating\nError response from daemon: no such image: nova-tool: No such image: nova-tool:latest\n",
        "the image nova-tool:latest has not been built",
    );
    // Engines with access to a registry.
    let nowhere = "is not there, and cannot be pulled: no registry offers it";
    starting(
        18,
        " tool Error pull access denied for acme/tool, repository does not exist or may require 'docker login': denied: requested access to the resource is denied\nError response from daemon: pull access denied for acme/tool, repository does not exist or may require 'docker login': denied: requested access to the resource is denied\n",
        &format!("the image acme/tool {nowhere}"),
    );
    starting(
        18,
        "Error response from daemon: manifest for ollama/ollama:99 not found: manifest unknown: manifest unknown",
        &format!("the image ollama/ollama:99 {nowhere}"),
    );
    starting(
        18,
        "Error response from daemon: failed to resolve reference \"ghcr.io/acme/tool:1\": ghcr.io/acme/tool:1: not found",
        &format!("the image ghcr.io/acme/tool:1 {nowhere}"),
    );
    starting(
        18,
        "Error response from daemon: failed to resolve reference \"ghcr.io/acme/tool:1\": failed to do request: Head \"https://ghcr.io/v2/acme/tool/manifests/1\": dial tcp: i/o timeout",
        "the image ghcr.io/acme/tool:1 is not there, and its registry does not answer",
    );
    starting(18, "something that nobody has seen yet", &format!("the image {nowhere}"));
}

#[test]
fn what_the_machine_lacks_is_named() {
    let begun = " Container nova-tool-1  Created\n Container nova-tool-1  Starting\n";
    for words in [
        "Error response from daemon: could not select device driver \"nvidia\" with capabilities: [[gpu]]",
        "Error response from daemon: Unknown runtime specified nvidia",
        // Docker 27.
        "Error response from daemon: unknown or invalid runtime name: nvidia",
        "Error response from daemon: failed to create task for container: failed to create shim task: OCI runtime create failed: could not apply required modification to OCI specification: error modifying OCI spec: failed to inject CDI devices: unresolvable CDI devices nvidia.com/gpu=all: unknown",
        "Error response from daemon: error gathering device information while adding custom device \"/dev/kfd\": no such file or directory",
    ] {
        starting(1, &format!("{begun}{words}"), "the container engine cannot give containers a GPU");
    }
    starting(
        1,
        &format!(
            "{begun}Error response from daemon: driver failed programming external connectivity on endpoint nova-tool-1 (b2ce34088a95): Error starting userland proxy: listen tcp4 127.0.0.1:8080: bind: address already in use"
        ),
        "the port 8080 of the host is taken",
    );
    starting(
        1,
        &format!(
            "{begun}Error response from daemon: driver failed programming external connectivity on endpoint nova-tool-1 (b2ce34088a95): Bind for 0.0.0.0:11434 failed: port is already allocated"
        ),
        "the port 11434 of the host is taken",
    );
    // Docker 28.
    starting(
        1,
        "Error response from daemon: failed to set up container networking: driver failed programming external connectivity on endpoint nova-tool-1 (b2c): failed to bind host port for 0.0.0.0:9000:172.18.0.2:80/tcp: address already in use",
        "the port 9000 of the host is taken",
    );
    starting(
        1,
        "Error response from daemon: failed to bind host port 0.0.0.0:9000/tcp: address already in use",
        "the port 9000 of the host is taken",
    );
    starting(
        1,
        "Error response from daemon: write /srv/nova/x: no space left on device",
        "the disk of the container engine is full",
    );
    starting(
        1,
        "Error response from daemon: Conflict. The container name \"/ollama\" is already in use by container \"53555c10b763\". You have to remove (or rename) that container to be able to reuse that name.",
        "another container has the name ollama already",
    );
}

#[test]
fn a_dependency_that_fails_on_the_way_is_named() {
    let both = services("sick needs-sick");
    let task = Task::Start(&both);
    check(
        &task,
        1,
        " Container nova-sick-1  Waiting\n Container nova-sick-1  Error\ndependency failed to start: container nova-sick-1 is unhealthy\n",
        "the service needs-sick needs sick, which is unhealthy",
    );
    check(
        &task,
        1,
        "dependency failed to start: container nova-sick-1 exited (137)\n",
        "the service needs-sick needs sick, which has ended with exit status 137",
    );
    check(
        &task,
        1,
        " Container nova-sick-1  service \"sick\" didn't complete successfully: exit 1\nservice \"sick\" didn't complete successfully: exit 1\n",
        "the service needs-sick needs sick, which has ended with exit status 1",
    );
}

#[test]
fn a_broken_project_is_told_without_its_paths_and_values() {
    let broken = "the Compose files of nova cannot be used";
    for (status, stderr, what) in [
        (15, "yaml: line 4: could not find expected ':'", ": yaml: line 4: could not find expected ':'"),
        (
            15,
            "validating /srv/nova/docker-compose.yml: services.a Additional property imagee is not allowed",
            ": validating … services.a Additional property imagee is not allowed",
        ),
        (
            15,
            "service \"a\" depends on undefined service \"b\": invalid compose project",
            ": service \"a\" depends on undefined service \"b\": invalid compose project",
        ),
        (
            15,
            "invalid interpolation format for services.a.image.\nYou may need to escape any $ with another $.\n${hunter2-",
            ": invalid interpolation format for services.a.image.",
        ),
        (
            14,
            "env file /srv/nova/missing.env not found: stat /srv/nova/missing.env: no such file or directory",
            ": env file … not found: stat … no such file or directory",
        ),
        (14, "open /srv/nova/missing.yml: no such file or directory", ": open … no such file or directory"),
        (
            15,
            "yaml: unmarshal errors:\n  line 3: cannot unmarshal !!str `hunter2` into config.Service",
            ": yaml: unmarshal errors:",
        ),
        (15, "yaml: cannot unmarshal !!str `hunter2` into int", ": yaml: cannot unmarshal !!str … into int"),
        (15, "invalid environment A=hunter2", ": invalid environment A=…"),
        (1, "", ""),
    ] {
        reading(status, stderr, &format!("{broken}{what}"));
    }
    // A change meets the same words.
    starting(15, "empty compose file", &format!("{broken}: empty compose file"));
}

#[test]
fn an_env_that_cannot_be_read_is_told_without_its_lines() {
    let unreadable = "Compose cannot read the .env file";
    reading(1, "failed to read /srv/nova/.env: line 4: unterminated quoted value \"hunter2", unreadable);
    reading(1, "failed to read /srv/nova/.env: Invalid template: \"${hunter2\"", unreadable);
    reading(
        1,
        "failed to read /srv/nova/.env: line 2: unexpected character \"+\" in variable name \"A+B=hunter2\"",
        &format!("{unreadable} (line 2)"),
    );
    reading(
        15,
        "time=\"2026-11-24T10:24:03Z\" level=warning msg=\"The \\\"hunter2\\\" variable is not set. Defaulting to a blank string.\"\nerror while interpolating services.base.environment.X: required variable DEMANDED is missing a value: set it",
        "the Compose files need the variable DEMANDED, which has no value",
    );
}

#[test]
fn the_rest_is_told_in_compose_s_own_words() {
    starting(1, "no such service: nothere", "the Compose files have no service nothere");
    starting(
        1,
        " Container nova-tool-1  Creating\nError response from daemon: network nova-net not found",
        "starting tool failed: network nova-net not found",
    );
    starting(
        1,
        "Error response from daemon: invalid mount config for type \"bind\": bind source path does not exist: /srv/nova/x",
        "starting tool failed: invalid mount config for type \"bind\": bind source path does not exist: …",
    );
    starting(1, "Error: https://user:hunter2@host failed", "starting tool failed: … failed");
    starting(1, "", "starting tool failed");
    let long = "é".repeat(1000);
    let error = failed(&Task::Stop(&services("tool"), None), 1, &long).to_string();
    assert_eq!(error.chars().count(), "stopping tool failed: ".len() + 300);
}
