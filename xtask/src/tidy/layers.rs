//! Which of our crates may depend on which, and what each manifest must have.

use std::{collections::BTreeSet, fs};

use anyhow::Result;
use cargo_metadata::{DependencyKind, Metadata, Package, TargetKind};

use super::Report;
use crate::{shell, workspace};

/// Nothing below the service may reach one of these, by whatever way. hyper is not among them: clients stand on it too.
const WEB_FRAMEWORKS: [&str; 7] = ["actix-web", "axum", "poem", "rocket", "salvo", "tide", "warp"];

/// Checks every member of the workspace.
pub(super) fn check(metadata: &Metadata, report: &mut Report) -> Result<()> {
    let packages = metadata.workspace_packages();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    for package in &packages {
        let name = package.name.as_str();
        for dependency in package.dependencies.iter().filter(|d| ours.contains(d.name.as_str())) {
            let dev = dependency.kind == DependencyKind::Development;
            if !may_depend(name, &dependency.name, dev) {
                let what = if dev { "dev-depends" } else { "depends" };
                report.problem(format!("{name} {what} on {}, which its layer must not", dependency.name));
            }
        }
        check_manifest(package, report)?;
        if is_library(package) {
            for framework in frameworks_in(&tree_of(name)?) {
                report.problem(format!("{name} depends on {framework}; only the service knows HTTP"));
            }
        }
    }
    Ok(())
}

/// Every package that one is built with, as `NAME vVERSION …` a line.
fn tree_of(name: &str) -> Result<String> {
    shell::output(&mut shell::cargo(["tree", "--package", name, "--edges", "normal", "--prefix", "none"]))
}

/// The web frameworks in such a list.
fn frameworks_in(tree: &str) -> BTreeSet<&str> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| WEB_FRAMEWORKS.contains(name)).collect()
}

/// Whether the package is one of the library crates that other programs may embed.
fn is_library(package: &Package) -> bool {
    let above = package.manifest_path.parent().and_then(|path| path.parent());
    above.is_some_and(|path| path.as_std_path() == workspace::root().join("crates"))
}

/// The order of the layers. What is not said here is forbidden.
fn may_depend(from: &str, on: &str, dev: bool) -> bool {
    match (from, on) {
        ("xtask" | "recovery-core", _) => false,
        ("recovery-tests", _) => matches!(on, "recovery-server" | "recovery-testkit"),
        (_, "xtask" | "recovery-tests" | "recovery-server") => false,
        (_, "recovery-testkit") => dev,
        ("recovery-server", _) | (_, "recovery-core") => true,
        // Backing a database up takes a database and a runner: its examples and tests use the real ones.
        ("recovery-backup", "recovery-store" | "recovery-process") => dev,
        ("recovery-docker" | "recovery-inference", "recovery-process") => dev,
        // What a reset plans is tried on a real server.
        ("recovery-reset", "recovery-store") => dev,
        _ => false,
    }
}

fn check_manifest(package: &Package, report: &mut Report) -> Result<()> {
    let name = &package.name;
    if package.description.as_deref().unwrap_or_default().is_empty() {
        report.problem(format!("{name} has no description in its Cargo.toml"));
    }
    let manifest = fs::read_to_string(&package.manifest_path)?;
    if !inherits_lints(&manifest) {
        report.problem(format!("{name} does not take the workspace's lints ([lints] workspace = true)"));
    }
    let has = |kind: TargetKind| package.targets.iter().any(|target| target.kind.contains(&kind));
    if is_library(package) && has(TargetKind::Lib) && !has(TargetKind::Example) {
        report.problem(format!("{name} has no program under examples/ that shows how to use it"));
    }
    Ok(())
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    lines.by_ref().take_while(|line| !line.starts_with('[')).any(|line| line == "workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers() {
        let check = |from: &str, on: &str, dev: bool, expect: bool| {
            assert_eq!(may_depend(from, on, dev), expect, "{from} on {on}, dev: {dev}");
        };
        check("recovery-store", "recovery-core", false, true);
        check("recovery-store", "recovery-process", false, false);
        check("recovery-store", "recovery-process", true, false);
        check("recovery-store", "recovery-testkit", true, true);
        check("recovery-store", "recovery-testkit", false, false);
        check("recovery-core", "recovery-testkit", true, false);
        check("recovery-testkit", "recovery-core", false, true);
        check("recovery-testkit", "recovery-store", false, false);
        check("recovery-backup", "recovery-store", true, true);
        check("recovery-backup", "recovery-store", false, false);
        check("recovery-reset", "recovery-store", true, true);
        check("recovery-reset", "recovery-store", false, false);
        check("recovery-reset", "recovery-backup", true, false);
        check("recovery-server", "recovery-backup", false, true);
        check("recovery-server", "recovery-testkit", false, false);
        check("recovery-backup", "recovery-server", true, false);
        check("recovery-tests", "recovery-server", true, true);
        check("recovery-tests", "recovery-core", true, false);
        check("recovery-tests", "xtask", true, false);
        check("xtask", "recovery-core", false, false);
        check("recovery-server", "xtask", false, false);
    }

    #[test]
    fn web_frameworks_are_found_wherever_they_are_in_the_tree() {
        let tree = "recovery-store v0.1.0 (/src/crates/recovery-store)\nhyper v1.0.0\nactix-web v4.1.0 (*)\n\naxum v0.8.0\n";
        assert_eq!(frameworks_in(tree).into_iter().collect::<Vec<_>>(), ["actix-web", "axum"]);
        assert!(frameworks_in("axum-core v0.5.0\nwarpless v1.0.0\n").is_empty());
        assert!(!frameworks_in(&tree_of("recovery-server").unwrap()).is_empty(), "the service has one");
    }

    #[test]
    fn lints_are_inherited_only_under_their_own_heading() {
        assert!(inherits_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
        assert!(!inherits_lints("[package]\nname = \"a\"\n[lints]\n[dependencies]\nworkspace = true\n"));
        assert!(!inherits_lints("[package]\nname = \"a\"\n"));
    }
}
