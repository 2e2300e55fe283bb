//! What must be installed, and installing it on Debian.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell;

/// A program that is needed, the Debian package that has it, and what it is for.
struct Need {
    package: &'static str,
    present: fn() -> bool,
    purpose: &'static str,
}

const NEEDS: [Need; 6] = [
    Need {
        package: "postgresql",
        present: || postgres_programs().is_ok(),
        purpose: "the server that is backed up, and the extensions that the sample database uses",
    },
    Need {
        package: "postgresql-client",
        present: || shell::exists("psql"),
        purpose: "psql, pg_dump and pg_restore",
    },
    Need {
        package: "redis-server",
        present: || shell::exists("redis-server"),
        purpose: "the Redis that holds Nova's run-time settings",
    },
    Need { package: "make", present: || shell::exists("make"), purpose: "`make backup` and `make restore`" },
    Need { package: "curl", present: || shell::exists("curl"), purpose: "the calls in the README" },
    Need {
        package: "git",
        present: || shell::exists("git"),
        purpose: "the list of files that `cargo xtask tidy` checks",
    },
];

/// What a container engine of our own is made of.
const ENGINE_NEEDS: [Need; 2] = [
    Need {
        package: "docker.io",
        present: || shell::exists("docker") && shell::exists("dockerd"),
        purpose: "the container engine, and its command line",
    },
    Need {
        package: "debootstrap",
        present: || shell::exists("debootstrap"),
        purpose: "the base image, where no registry can be reached",
    },
];

/// What the tests of the console look at it with.
const BROWSER_NEEDS: [Need; 2] = [
    Need {
        package: "chromium",
        present: || shell::exists("chromium"),
        purpose: "the browser that the console is tested in",
    },
    Need {
        package: "chromium-driver",
        present: || shell::exists("chromedriver"),
        purpose: "what drives the browser in these tests",
    },
];

/// What asks the service as fast as it can.
const LOAD_NEEDS: [Need; 1] = [Need {
    package: "wrk",
    present: || shell::exists("wrk"),
    purpose: "many requests at once, for the bench",
}];

/// Installs what is missing, after saying what and why; where it may not, says what to install.
pub(crate) fn ensure() -> Result<()> {
    install(&NEEDS, "Debian starts its own PostgreSQL and Redis with it; they are not used here")
}

/// As [`ensure`], for a container engine of our own.
pub(crate) fn ensure_engine() -> Result<()> {
    install(&ENGINE_NEEDS, "Debian starts an engine with it where systemd runs; it is used then")
}

/// As [`ensure`], for a browser without a window.
pub(crate) fn ensure_browser() -> Result<()> {
    install(&BROWSER_NEEDS, "nothing starts by itself with it")
}

/// As [`ensure`], for what measures requests.
pub(crate) fn ensure_load_generator() -> Result<()> {
    install(&LOAD_NEEDS, "nothing starts by itself with it")
}

fn install(needs: &[Need], remark: &str) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        eprintln!("missing: {} ({})", need.package, need.purpose);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let by_hand = format!("apt-get install {}", packages.join(" "));
    if !shell::exists("apt-get") {
        bail!(
            "this is no Debian; install what is missing with your system's package manager, then run this again"
        );
    }
    if !rustix::process::geteuid().is_root() {
        bail!("only root can install packages; run `sudo {by_hand}`, then run this again");
    }
    // Not on standard output: of some commands that is read by a shell.
    eprintln!("installing: {by_hand}   ({remark})");
    let apt = |arguments: &[&str]| {
        shell::quiet(shell::command("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-q"])?;
    apt(&[&["install", "-y", "-q", "--no-install-recommends"], packages.as_slice()].concat())?;
    match missing.iter().find(|need| !(need.present)()) {
        Some(need) => bail!("{} is installed and yet not to be found", need.package),
        None => Ok(()),
    }
}

/// The directory with the programs of this major version.
pub(crate) fn programs_of(major: &str) -> Result<PathBuf> {
    let programs = PathBuf::from("/usr/lib/postgresql").join(major).join("bin");
    if !programs.join("pg_ctl").exists() {
        bail!("PostgreSQL {major} is not installed any more; install postgresql-{major}");
    }
    Ok(programs)
}

/// The directory with the programs of the newest PostgreSQL server that is installed.
pub(crate) fn postgres_programs() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("no PostgreSQL server is installed")?;
    versions
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let programs = entry.path().join("bin");
            programs.join("initdb").exists().then_some((version, programs))
        })
        .max()
        .map(|(_, programs)| programs)
        .context("no PostgreSQL server is installed under /usr/lib/postgresql")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_that_the_readme_calls_are_installed() {
        let readme = fs::read_to_string(crate::workspace::root().join("README.md")).unwrap();
        let calls = |program: &str| readme.lines().any(|line| line.trim_start().starts_with(program));
        for (program, package) in [("make ", "make"), ("curl ", "curl"), ("psql ", "postgresql-client")] {
            assert!(calls(program), "the README calls {program}no more");
            assert!(NEEDS.iter().any(|need| need.package == package), "{package} is not installed");
        }
        assert!(NEEDS.iter().any(|need| need.package == "git"), "tidy calls it");
    }
}
