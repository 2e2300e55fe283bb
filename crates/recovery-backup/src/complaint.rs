//! What a PostgreSQL program says when it fails: what of it may be told, and whether it is about what the program was
//! given, or about where it ran.

use recovery_core::port::{CommandOutput, Exit};

/// What the client library and the programs say of a connection or of their own worker. They speak English, as they were
/// told to.
const OF_THE_PROGRAM: [&str; 7] = [
    "connection to server ",
    "server closed the connection unexpectedly",
    "could not receive data from server",
    "could not send data to server",
    "a worker process died unexpectedly",
    "could not create worker process",
    "out of memory",
];

/// How errors of the server begin that are about rights, about what this server lacks, and about its resources.
const OF_THE_SERVER: [&str; 15] = [
    "permission denied ",
    "must be owner of ",
    "must be able to SET ROLE ",
    "must be member of role ",
    "must be superuser ",
    "tablespace \"",
    "role \"",
    "extension \"",
    "could not open extension control file ",
    "could not access file ",
    "could not load library ",
    "out of memory",
    "out of shared memory",
    "could not resize shared memory segment ",
    "canceling statement due to ",
];

/// Whether a failure may be due to where the program ran, so that it says nothing about the archive: it was killed, its
/// connection was refused or lost, a right, an extension or a tablespace is missing, or memory is.
///
/// What the server says is understood where its `lc_messages` is English; the programs do not show the SQLSTATE.
pub(crate) fn blames_circumstances(tool: &str, output: &CommandOutput) -> bool {
    if matches!(output.exit, Exit::Signal(_)) {
        return true;
    }
    // The first line alone: what follows comes of it. The worker of a load that met a bad row dies, too.
    let Some(line) = first_error(tool, &output.stderr_tail) else { return false };
    match line.split_once("ERROR:  ") {
        Some((_, said)) => OF_THE_SERVER.iter().any(|words| said.starts_with(words)),
        None => line.contains("FATAL:  ") || OF_THE_PROGRAM.iter().any(|words| line.contains(words)),
    }
}

/// The first line in which the program names an error, without its own name and cut to a readable length. Lines that
/// follow one can quote rows, so they are for the log alone; what this one quotes is told where it names an object.
pub(crate) fn told(tool: &str, stderr: &str) -> Option<String> {
    Some(without_values(first_error(tool, stderr)?).chars().take(300).collect())
}

/// Errors about data quote it, in a table's row or a path of this machine that is nobody's business outside; and a value
/// may hold quotes itself.
fn without_values(line: &str) -> String {
    let (mut told, mut rest) = (String::new(), line);
    while let Some((before, quoted)) = rest.split_once('"') {
        told.push_str(before);
        match quoted.split_once('"') {
            Some((name, after)) if names_an_object(before) => {
                told.extend(["\"", name, "\""]);
                rest = after;
            }
            Some((path, after)) if path.starts_with('/') && !line.contains("ERROR:  ") => {
                told.push_str("\"…\"");
                rest = after;
            }
            _ => {
                told.push_str("\"…\"");
                rest = quoted.rsplit_once('"').map_or("", |(_, last)| last);
            }
        }
    }
    told + rest
}

/// Whether what is quoted next is the name of something in the database, and not what is in it.
fn names_an_object(before: &str) -> bool {
    const OBJECTS: [&str; 20] = [
        "table",
        "column",
        "relation",
        "constraint",
        "index",
        "schema",
        "type",
        "function",
        "procedure",
        "trigger",
        "extension",
        "role",
        "tablespace",
        "database",
        "view",
        "sequence",
        "language",
        "collation",
        "domain",
        "policy",
    ];
    let word = before.trim_end().rsplit(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    OBJECTS.iter().any(|object| object.eq_ignore_ascii_case(word))
}

fn first_error<'a>(tool: &str, stderr: &'a str) -> Option<&'a str> {
    let prefix = format!("{tool}: error: ");
    stderr.lines().find_map(|line| line.strip_prefix(&prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(exit: Exit, said: &str, expect: bool) {
        let output = CommandOutput { exit, stdout: Vec::new(), stderr_tail: said.to_owned() };
        assert_eq!(blames_circumstances("pg_restore", &output), expect, "{said}");
    }

    #[test]
    fn what_is_wrong_with_the_place_is_told_from_what_is_wrong_with_the_archive() {
        check(Exit::Signal(9), "", true);
        for (said, expect) in [
            (
                "connection to server at \"db\" (::1), port 5432 failed: FATAL:  sorry, too many clients already",
                true,
            ),
            ("could not execute query: FATAL:  terminating connection due to administrator command", true),
            ("could not execute query: server closed the connection unexpectedly", true),
            ("a worker process died unexpectedly", true),
            ("could not execute query: ERROR:  permission denied to create extension \"vector\"", true),
            ("could not execute query: ERROR:  must be able to SET ROLE \"app\"", true),
            ("could not execute query: ERROR:  extension \"vector\" is not available", true),
            ("could not set default_tablespace to fast: ERROR:  tablespace \"fast\" does not exist", true),
            ("could not execute query: ERROR:  out of memory", true),
            ("could not execute query: ERROR:  could not create unique index \"users_pkey\"", false),
            ("could not execute query: ERROR:  relation \"permission denied \" does not exist", false),
            ("could not uncompress data: (null)", false),
            ("COPY failed for table \"users\": ERROR:  missing data for column \"name\"", false),
        ] {
            check(
                Exit::Status(1),
                &format!("pg_restore: while LOADING:\npg_restore: error: {said}\n"),
                expect,
            );
        }
        // The worker dies of the first error, and a row may say anything.
        let said = "pg_restore: error: COPY failed for table \"users\": ERROR:  bad row\nCONTEXT:  FATAL:  x\n\
                    pg_restore: error: a worker process died unexpectedly\n";
        check(Exit::Status(1), said, false);
        check(Exit::Status(1), "Segmentation fault", false);
    }

    #[test]
    fn values_of_rows_are_not_told() {
        for (said, expect) in [
            (
                r#"COPY failed for table "t": ERROR:  invalid input syntax for type integer: "a secret""#,
                r#"COPY failed for table "t": ERROR:  invalid input syntax for type integer: "…""#,
            ),
            (
                r#"x: ERROR:  value "99" is out of range for type integer"#,
                r#"x: ERROR:  value "…" is out of range for type integer"#,
            ),
            (
                r#"x: ERROR:  malformed array literal: "a" table "secret""#,
                r#"x: ERROR:  malformed array literal: "…""#,
            ),
            (r#"x: ERROR:  relation "t" does not exist"#, r#"x: ERROR:  relation "t" does not exist"#),
        ] {
            assert_eq!(told("pg_restore", &format!("pg_restore: error: {said}")).unwrap(), expect);
        }
    }

    #[test]
    fn only_the_tool_s_own_error_line_is_told() {
        let stderr = "pg_restore: while PROCESSING TOC:\npg_restore: error: COPY failed for table \"users\": ERROR:  no\n\
                      CONTEXT:  COPY users, line 3: \"a secret\"\npg_restore: error: second\n";
        assert_eq!(told("pg_restore", stderr).unwrap(), "COPY failed for table \"users\": ERROR:  no");
        assert_eq!(told("pg_restore", "Segmentation fault"), None);
        let stderr = "pg_dump: error: could not open output file \"/backups/.partial-1/x\" of table \"t\": No space left on device";
        let line = "could not open output file \"…\" of table \"t\": No space left on device";
        assert_eq!(told("pg_dump", stderr).unwrap(), line);
        assert_eq!(
            told("pg_dump", &format!("pg_dump: error: {}", "é".repeat(900))).unwrap().chars().count(),
            300
        );
    }
}
