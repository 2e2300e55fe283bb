//! Why Compose failed: its exit status tells the family, its words on standard error the rest.
//!
//! The words can hold paths of the host and values of the `.env`, so that what goes into an error is cut out of them:
//! names, numbers, and sentences without either.

use recovery_core::{
    ProjectName, ServiceName,
    compose::{DependencyCondition, ServiceStanding, UnmetDependency},
    port::{CommandOutput, ComposeError, Exit, ImageTrouble},
};

use super::arguments::Task;

/// A file that the project needs is missing; its files are not what Compose expects.
const BAD_FILES: [Exit; 2] = [Exit::Status(14), Exit::Status(15)];
/// An image could not be pulled.
const PULL_FAILED: Exit = Exit::Status(18);

/// The error behind a failed run.
pub(super) fn diagnose(project: &ProjectName, task: &Task<'_>, output: &CommandOutput) -> ComposeError {
    let lines: Vec<&str> = output.stderr_tail.lines().filter(|line| !is_noise(line)).map(str::trim).collect();
    let text = lines.join("\n");
    let reading = matches!(task, Task::Model | Task::Check) || BAD_FILES.contains(&output.exit);
    engine(&text)
        .or_else(|| machine(&text))
        .or_else(|| image(&text, output.exit))
        .or_else(|| named(&text))
        .or_else(|| dependency(project, task, &text))
        .unwrap_or_else(|| {
            let what = lines.first().and_then(|line| harmless(line));
            if reading || is_about_files(&text) {
                ComposeError::Invalid { project: project.clone(), what }
            } else {
                ComposeError::Failed { doing: task.to_string(), what }
            }
        })
}

/// What Compose said first, for the log: what follows can be a piece of a file.
pub(super) fn harmless_words(stderr: &str) -> Option<String> {
    let first = stderr.lines().find(|line| !is_noise(line))?.trim();
    if is_about_env(first) { None } else { harmless(first) }
}

/// Compose quotes a line of the `.env` that it cannot read.
fn is_about_env(line: &str) -> bool {
    line.starts_with("failed to read ")
}

/// Warnings name what they take for a variable, which may be a piece of a password. What was done, which begins with a
/// space, is no reason: where it failed, that is said once more at the end.
fn is_noise(line: &str) -> bool {
    line.trim().is_empty()
        || line.starts_with([' ', '\t'])
        || line.starts_with("WARN[")
        || (line.starts_with("time=") && line.contains("level=warning"))
}

fn engine(text: &str) -> Option<ComposeError> {
    let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if any(&["permission denied while trying to connect", "403 Forbidden"]) {
        return Some(ComposeError::EngineRefused);
    }
    any(&[
        "Cannot connect to the Docker daemon",
        "failed to connect to the docker API",
        "error during connect",
        "Is the docker daemon running",
    ])
    .then_some(ComposeError::EngineUnavailable)
}

/// What the machine under the engine lacks.
fn machine(text: &str) -> Option<ComposeError> {
    let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if any(&["no space left on device"]) {
        return Some(ComposeError::DiskFull);
    }
    let driver = text.contains("could not select device driver") && text.contains("gpu");
    let device = text.contains("error gathering device information") && any(&["/dev/kfd", "/dev/dri"]);
    let runtime = any(&["unknown or invalid runtime name: nvidia", "nknown runtime specified nvidia"]);
    if driver || device || runtime || any(&["nvidia-container-cli", "unresolvable CDI devices"]) {
        return Some(ComposeError::NoGpu);
    }
    if any(&["port is already allocated", "address already in use"]) {
        let before = [
            "Bind for ",
            "listen tcp4 ",
            "listen tcp6 ",
            "listen tcp ",
            "listen udp4 ",
            "listen udp ",
            "host port for ",
            "host port ",
        ];
        let address = before.iter().find_map(|before| word_after(text, before));
        return Some(ComposeError::PortTaken { port: address.and_then(port) });
    }
    if text.contains("The container name") && text.contains("is already in use") {
        let name = between(text, "The container name \"", "\"").map(|name| name.trim_start_matches('/'));
        return Some(ComposeError::NameTaken { container: name.and_then(|name| plain_name(name, "")) });
    }
    None
}

fn image(text: &str, exit: Exit) -> Option<ComposeError> {
    let missing = |image: Option<&str>, trouble| {
        let image = image.and_then(|image| plain_name(image, "/:@"));
        Some(ComposeError::ImageMissing { image, trouble })
    };
    if let Some(image) = word_after(text, "No such image: ") {
        return missing(Some(image), ImageTrouble::NotBuilt);
    }
    for before in ["pull access denied for ", "manifest for ", "failed to resolve reference "] {
        if let Some(image) = word_after(text, before) {
            let found = ["not found", "does not exist", "manifest unknown", "denied", "unauthorized"];
            let trouble = if found.iter().any(|word| text.contains(word)) {
                ImageTrouble::NotFound
            } else {
                ImageTrouble::RegistryAway
            };
            return missing(Some(image.trim_matches(['"', ',', ':'])), trouble);
        }
    }
    if ["manifest unknown", "repository does not exist", "requested access to the resource is denied"]
        .iter()
        .any(|word| text.contains(word))
    {
        return missing(None, ImageTrouble::NotFound);
    }
    let asked =
        text.contains("Get \"https://") || text.contains("Head \"https://") || text.contains("Get \"http://");
    let silent = ["dial tcp", "TLS handshake", "Client.Timeout", "i/o timeout", "deadline exceeded", "EOF"];
    if asked && silent.iter().any(|word| text.contains(word)) {
        return missing(None, ImageTrouble::RegistryAway);
    }
    if exit == PULL_FAILED { missing(None, ImageTrouble::NotFound) } else { None }
}

/// What Compose names in words that have not changed for years.
fn named(text: &str) -> Option<ComposeError> {
    if let Some(service) = word_after(text, "no such service: ")
        && let Ok(service) = service.parse::<ServiceName>()
    {
        return Some(ComposeError::UnknownService { service });
    }
    if let Some(variable) = word_after(text, "required variable ")
        && let Some(variable) = plain_name(variable, "")
    {
        return Some(ComposeError::VariableMissing { variable });
    }
    if text.lines().any(is_about_env) {
        return Some(ComposeError::EnvInvalid { line: env_line(text) });
    }
    text.contains("no configuration file provided").then_some(ComposeError::NoFile { file: None })
}

/// The line of the `.env`, which Compose counts from where a quote that is not closed begins to the end of the file.
fn env_line(text: &str) -> Option<u32> {
    let rest = text.split_once("line ").map(|(_, rest)| rest)?;
    leading_number(rest).filter(|_| !text.contains("unterminated"))
}

/// Words about the Compose files, in versions whose exit status does not tell.
fn is_about_files(text: &str) -> bool {
    let marks = [
        "yaml: ",
        "validating ",
        "invalid compose project",
        "refers to undefined",
        "depends on undefined",
        "invalid interpolation format",
        "declared as external, but could not be found",
    ];
    marks.iter().any(|mark| text.contains(mark))
}

/// `dependency failed to start: container nova-db-1 is unhealthy`, or `service "db" didn't complete successfully: exit 1`,
/// where several services are started together.
fn dependency(project: &ProjectName, task: &Task<'_>, text: &str) -> Option<ComposeError> {
    let Task::Start(services) = task else { return None };
    let (dependency, condition, found) =
        if let Some(rest) = text.split_once("dependency failed to start: container ").map(|(_, rest)| rest) {
            let (container, how) = rest.lines().next()?.split_once(' ')?;
            let found = match how.strip_prefix("exited (").and_then(leading_number) {
                Some(status) => ServiceStanding::Exited(status.into()),
                None if how.starts_with("is unhealthy") => ServiceStanding::Unhealthy,
                None => ServiceStanding::Running,
            };
            (service_of(project, container), DependencyCondition::Healthy, found)
        } else {
            let (before, after) = text.split_once("\" didn't complete successfully: exit ")?;
            let found = ServiceStanding::Exited(leading_number(after)?.into());
            (before.rsplit_once('"')?.1, DependencyCondition::Completed, found)
        };
    Some(ComposeError::DependencyNotReady(UnmetDependency {
        service: services.iter().find(|name| name.as_str() != dependency)?.clone(),
        dependency: dependency.parse().ok()?,
        condition,
        found,
    }))
}

/// `nova-db-1` is of the service `db`. One that has a name of its own is told by that.
fn service_of<'a>(project: &ProjectName, container: &'a str) -> &'a str {
    container
        .strip_prefix(project.as_str())
        .and_then(|rest| rest.strip_prefix(['-', '_']))
        .and_then(|rest| rest.rsplit_once(['-', '_']))
        .map_or(container, |(service, _)| service)
}

/// The text up to the next space after some words.
fn word_after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let rest = text.split_once(before).map(|(_, rest)| rest)?;
    rest.split([' ', '\n']).next().filter(|word| !word.is_empty())
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before).and_then(|(_, rest)| rest.split_once(after)).map(|(found, _)| found)
}

/// `0.0.0.0:8080`, maybe with more behind it.
fn port(address: &str) -> Option<u16> {
    // An engine of newer make says `0.0.0.0:8080:172.18.0.2:80/tcp`: the first is the host's.
    let (_, rest) = address.trim_start_matches("[::]").split_once(':')?;
    leading_number(rest).and_then(|port| u16::try_from(port).ok())
}

fn leading_number(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..digits)?.parse().ok()
}

/// A name made of letters, digits, `.`, `_`, `-` and `also`, of a readable length.
fn plain_name(text: &str, also: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') || also.contains(c);
    let text = text.trim_end_matches([':', '.', ',']);
    (!text.is_empty() && text.len() <= 200 && text.chars().all(is_plain)).then(|| text.to_owned())
}

/// A line of Compose without paths of the host and without values: what stands in backquotes, behind `=`, or in an
/// address with credentials.
fn harmless(line: &str) -> Option<String> {
    let line = line.trim_start_matches("Error response from daemon: ").trim_start_matches("Error: ");
    // What YAML quotes from a file stands in backquotes.
    let parts = line.split('`').enumerate().map(|(index, part)| if index % 2 == 1 { "…" } else { part });
    let line = parts.collect::<String>();
    let words = line.split_whitespace().map(|word| {
        let bare = word.trim_start_matches(['"', '\'', '(', '[']);
        if bare.starts_with('/') || bare.starts_with("./") || bare.starts_with("../") || word.contains("://")
        {
            "…".to_owned()
        } else if let Some((name, _)) = word.split_once('=') {
            format!("{name}=…")
        } else {
            word.to_owned()
        }
    });
    let line: String = words.collect::<Vec<_>>().join(" ").chars().take(300).collect();
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests;
