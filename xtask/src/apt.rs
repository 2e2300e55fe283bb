//! Debian's packages of a release that need not be the system's own, to be unpacked without being installed.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::shell;

/// Where Debian's packages are, unless the system's own list of sources knows better.
const MIRROR: &str = "http://deb.debian.org/debian/";

/// `apt-get` with one source, and with state of its own: the system's packages and lists are neither read nor changed.
pub(crate) struct Apt {
    directory: PathBuf,
    options: Vec<OsString>,
}

impl Apt {
    /// With the packages of a release of Debian, as its mirror has them now. Its files lie in this directory.
    pub(crate) fn new(directory: &Path, release: &str) -> Result<Self> {
        for name in ["lists/partial", "cache/archives/partial", "none"] {
            fs::create_dir_all(directory.join(name))?;
        }
        fs::write(directory.join("status"), "")?;
        let sources = directory.join("sources.list");
        let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
        fs::write(&sources, format!("deb [signed-by={keyring}] {} {release} main\n", mirror()))?;
        let mut options = Vec::new();
        for (name, value) in [
            ("Dir::Etc::SourceList", "sources.list"),
            ("Dir::Etc::SourceParts", "none"),
            ("Dir::Etc::PreferencesParts", "none"),
            ("Dir::State::Lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
        ] {
            let mut option = OsString::from(format!("{name}="));
            option.push(directory.join(value));
            options.extend([OsString::from("-o"), option]);
        }
        // Its own user could not write to a directory of ours.
        options.extend(["-o", "APT::Sandbox::User=root"].map(OsString::from));
        let apt = Self { directory: directory.to_owned(), options };
        shell::quiet(&mut apt.get(&["update", "--quiet"]))?;
        Ok(apt)
    }

    /// Downloads these packages, and no others that they need; returns their files.
    pub(crate) fn download(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        shell::quiet(&mut self.get(&[&["download"], names].concat()))?;
        let mut packages = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                packages.push(path);
            }
        }
        if packages.len() < names.len() {
            bail!("apt-get downloaded {} of {} packages", packages.len(), names.len());
        }
        Ok(packages)
    }

    /// `apt-get` with these arguments; it downloads into the directory.
    pub(crate) fn get(&self, arguments: &[&str]) -> std::process::Command {
        let mut apt = shell::command("apt-get");
        apt.args(&self.options).args(arguments).current_dir(&self.directory).env("LC_ALL", "C.UTF-8");
        apt
    }
}

/// The mirror of the system, which may be the only one that can be reached.
pub(crate) fn mirror() -> String {
    let format = ["indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"];
    let sources = shell::output(shell::command("apt-get").args(format)).unwrap_or_default();
    let uri = |line: &str| line.strip_prefix("Debian main ").map(str::to_owned);
    sources.lines().filter_map(uri).find(|uri| !uri.contains("security")).unwrap_or_else(|| MIRROR.to_owned())
}

/// The package in a line of `apt-get --print-uris`: `'http://…/libc6_2.41-12_amd64.deb' libc6_2.41-12_amd64.deb 2850108`.
pub(crate) fn package_of(line: &str) -> Option<&str> {
    line.strip_prefix('\'')?.split_whitespace().nth(1)?.split('_').next()
}
