//! Whether the table of moments is whole: every step and moment that stands in the sources is in it.

use std::{collections::BTreeSet, fs, path::Path};

use crate::crash_points;

#[test]
fn every_step_and_moment_in_the_sources_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let kinds = [
        "backup",
        "restore",
        "rollback",
        "drop_replaced",
        "delete_backup",
        "upload",
        "drill",
        "factory_reset",
    ];
    let mut known: BTreeSet<String> = kinds.iter().flat_map(|kind| crash_points::of(kind)).collect();
    let others = [
        crash_points::CLEAR_UP,
        crash_points::RETAIN,
        crash_points::RESTORE_IN_PLACE,
        crash_points::RESTORE_WITH_FILES,
        crash_points::RESTORE_WITH_KEYS,
    ];
    known.extend(others.iter().copied().flatten().map(|name| (*name).to_owned()));
    let mut found = 0;
    let mut directories = vec![root.join("crates"), root.join("bins")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && name != "tests" && name != "recovery-testkit" {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]").next().unwrap();
                for step in literals(text, ".record(").into_iter().chain(literals(text, "note(context, ")) {
                    assert!(
                        known.iter().any(|known| known.ends_with(&format!(":{step}:before"))),
                        "{}: the step {step:?} is cut off by no test: add it to crash_points.rs",
                        path.display()
                    );
                    found += 1;
                }
                for moment in literals(text, "crash_point(") {
                    assert!(
                        known.contains(moment),
                        "{}: the moment {moment:?} is cut off by no test: add it to crash_points.rs",
                        path.display()
                    );
                    found += 1;
                }
            }
        }
    }
    assert!(found > 15, "only {found} steps and moments were found");
}

/// The text literals that follow a call's opening bracket.
fn literals<'a>(text: &'a str, call: &str) -> Vec<&'a str> {
    let arguments = text.split(call).skip(1).map(str::trim_start);
    arguments.filter_map(|rest| rest.strip_prefix('"')?.split('"').next()).collect()
}
