use super::*;
use crate::work::Meter;

/// A script as `pg_dump` writes it, around this body.
fn script(body: &str) -> String {
    format!(
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict k3y\n\n-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)\n\
         -- Dumped by pg_dump version 17.2\n\nSET statement_timeout = 0;\n{body}\n--\n-- PostgreSQL database dump complete\n\
         --\n\n\\unrestrict k3y\n\n"
    )
}

/// The pieces of a script in words, rows joined, as read in chunks that end at these offsets.
fn pieces(text: &[u8], cuts: &[usize]) -> Result<Vec<String>, String> {
    let (mut pieces, mut rows) = (Vec::new(), Vec::new());
    let mut take = |piece: Piece<'_>| {
        match piece {
            Piece::Statement(statement) => {
                pieces.push(format!("{}: {}", statement.line, statement.text));
            }
            Piece::Rows(bytes) => rows.extend_from_slice(bytes),
            Piece::RowsEnd(count) => {
                pieces.push(format!("{count} rows: {}", String::from_utf8_lossy(&rows)));
                rows.clear();
            }
        }
        Ok(())
    };
    let mut scanner = Scanner::new();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([text.len()]) {
        scanner.push(&text[from..cut], &mut take).map_err(|flaw| flaw.to_string())?;
        from = cut;
    }
    scanner.finish().map_err(|flaw| flaw.to_string())?;
    Ok(pieces)
}

/// Reads a script whole, cut in two at every place, and byte by byte; it must always be the same.
fn read(text: &str) -> Result<Vec<String>, String> {
    let whole = pieces(text.as_bytes(), &[]);
    for cut in 1..text.len() {
        assert_eq!(pieces(text.as_bytes(), &[cut]), whole, "cut at {cut}");
    }
    let every: Vec<usize> = (1..text.len()).collect();
    assert_eq!(pieces(text.as_bytes(), &every), whole, "byte by byte");
    whole
}

fn check(body: &str, expect: &[&str]) {
    let pieces = read(&script(body)).unwrap();
    let (first, rest) = pieces.split_first().unwrap();
    assert_eq!(first, "10: SET statement_timeout = 0");
    assert_eq!(rest, expect);
}

fn check_refused(body: &str, expect: &str) {
    assert_eq!(read(&script(body)).unwrap_err(), expect);
}

#[test]
fn statements_end_at_their_semicolons() {
    check(
        "CREATE TABLE a ();\nCREATE TABLE b (\n  i int\n);",
        &["11: CREATE TABLE a ()", "12: CREATE TABLE b (\n  i int\n)"],
    );
    check(
        "-- a comment; with one\nCREATE /* nested /* ; */ ; */ TABLE a (-- and ;\n i int);",
        &["12: CREATE /* nested /* ; */ ; */ TABLE a (-- and ;\n i int)"],
    );
    check("CREATE TABLE \"a;\"\"b\" ();;\n;", &["11: CREATE TABLE \"a;\"\"b\" ()"]);
    check(
        "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);",
        &["11: CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)"],
    );
    check("CREATE VIEW v AS SELECT 4 - 2 / 1 AS a;", &["11: CREATE VIEW v AS SELECT 4 - 2 / 1 AS a"]);
}

#[test]
fn strings_of_every_kind_hold_anything() {
    for string in [
        "'; \\'",
        "'it''s; \\'",
        "E'\\'; \\\\'",
        "e'\\\\''; '",
        "U&'\\0041;\\'",
        "'a;'\n  'b;\\'",
        "E'a\\';'\n -- \n 'b\\';'",
        "$$; ' \" \\restrict x\n-- $$",
        "$a$; $$; $b$ \\connect evil\n$a$",
        "$a$ $a $a$",
        "$ünï$;\\! rm\n$ünï$",
        "a$b$ + 1 + c$b$",
    ] {
        let statement = format!("CREATE VIEW v AS SELECT {string} AS x");
        let body = format!("{statement};\nCREATE TABLE t ();");
        let after = 12 + string.matches('\n').count();
        check(&body, &[&format!("11: {statement}"), &format!("{after}: CREATE TABLE t ()")]);
    }
}

#[test]
fn backslashes_escape_where_the_script_says_so() {
    check(
        "SET standard_conforming_strings = off;\nSET escape_string_warning = off;\nCOMMENT ON TABLE a IS 'it\\'s; $1';\n\
         SET standard_conforming_strings = on;\nCOMMENT ON TABLE a IS '\\';",
        &[
            "11: SET standard_conforming_strings = off",
            "12: SET escape_string_warning = off",
            "13: COMMENT ON TABLE a IS 'it\\'s; $1'",
            "14: SET standard_conforming_strings = on",
            "15: COMMENT ON TABLE a IS '\\'",
        ],
    );
}

#[test]
fn bodies_of_functions_hold_statements() {
    for body in [
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT $1; END",
        "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (1); END",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $_$\nBEGIN;\n\\restrict x\nCOPY t FROM stdin;\n\\.\nEND;$_$",
    ] {
        let after = 12 + body.matches('\n').count();
        check(
            &format!("{body};\nCREATE TABLE t ();"),
            &[&format!("11: {body}"), &format!("{after}: CREATE TABLE t ()")],
        );
    }
}

#[test]
fn rows_are_passed_on_as_they_are_and_counted() {
    check(
        "COPY public.t (a, \"b c\") FROM stdin;\n\\N\t\\\\.\n\\.x\n\\\n\n'; -- /* $$ \"\n\\restrict x\n\\! rm\n\\.\n\nCREATE TABLE u ();",
        &[
            "11: COPY public.t (a, \"b c\") FROM stdin",
            "7 rows: \\N\t\\\\.\n\\.x\n\\\n\n'; -- /* $$ \"\n\\restrict x\n\\! rm\n",
            "21: CREATE TABLE u ()",
        ],
    );
    check(
        "COPY public.no_columns  FROM stdin;\n\\.\n",
        &["11: COPY public.no_columns  FROM stdin", "0 rows: "],
    );
    check(
        "COPY \"A.\"\"b\".t FROM stdin ; \n\n\n\\.\n",
        &["11: COPY \"A.\"\"b\".t FROM stdin ", "2 rows: \n\n"],
    );
}

#[test]
fn what_was_cut_off_is_found_wherever_it_was_cut() {
    let whole = script("CREATE TABLE t (i int);\nCOPY t (i) FROM stdin;\n1\n\\.\n");
    let end = whole.find("\n--\n\n\\unrestrict").unwrap();
    for cut in 0..end {
        // A comment that is whole but for the end of its line is whole.
        let result = pieces(&whole.as_bytes()[..cut], &[]);
        assert!(result.is_err(), "cut at {cut}: {:?}", &whole[..cut]);
    }
    assert!(pieces(&whole.as_bytes()[..end], &[]).is_ok());
    let cut_off = |body: &str| {
        let text = script(body);
        pieces(&text.as_bytes()[..text.find("\n--\n-- PostgreSQL database dump complete").unwrap()], &[])
            .unwrap_err()
    };
    assert_eq!(
        cut_off("COPY public.t (i) FROM stdin;\n1\n"),
        "its script is cut off in the rows of public.t"
    );
    assert_eq!(cut_off("CREATE TABLE t ("), "its script is cut off in the statement at line 11");
    assert_eq!(
        cut_off("CREATE TABLE t ();"),
        "its script is cut off: the line with which pg_dump ends is missing"
    );
}

#[test]
fn commands_of_psql_are_refused() {
    let command = |name: &str| format!("line 11 of its script holds a command of psql: \\{name}");
    for (body, name) in [
        ("\\! rm -rf /", "!"),
        ("  \\copy t from program 'id'", "copy"),
        ("\\i /etc/passwd", "i"),
        ("\\o |id", "o"),
        ("\\gexec", "gexec"),
        ("\\set x `id`", "set"),
        ("\\.", "."),
        ("CREATE TABLE t () \\g |id", "g"),
        ("CREATE TABLE t (\\! id", "!"),
        ("CREATE TABLE t () \\restrict x", "restrict"),
        ("CREATE VIEW v AS SELECT $1\\! id", "!"),
    ] {
        let expect = command(name).replace("\\!", "\\");
        check_refused(body, &expect.replace("\\.", "\\"));
    }
    let connect = "line 11 of its script connects to another database: it was made with pg_dump --create";
    check_refused("\\connect nova", connect);
    check_refused("\\c nova", connect);
}

#[test]
fn what_reaches_beyond_the_database_is_refused() {
    for (statement, name) in [
        ("CREATE DATABASE evil", "CREATE DATABASE"),
        ("DROP DATABASE IF EXISTS nova", "DROP DATABASE"),
        ("ALTER DATABASE nova SET work_mem = '1GB'", "ALTER DATABASE"),
        ("ALTER SYSTEM SET archive_command = 'id'", "ALTER SYSTEM"),
        ("CREATE ROLE evil SUPERUSER", "CREATE ROLE"),
        ("ALTER/**/USER nova PASSWORD 'x'", "ALTER USER"),
        ("CREATE USER evil", "CREATE USER"),
        ("DROP OWNED BY nova", "DROP OWNED"),
        ("GRANT pg_execute_server_program TO evil", "GRANT PG_EXECUTE_SERVER_PROGRAM"),
        ("GRANT ALL ON DATABASE nova TO evil", "GRANT ALL"),
        ("GRANT SET ON PARAMETER work_mem TO evil", "GRANT SET"),
        ("CREATE TABLESPACE t LOCATION '/'", "CREATE TABLESPACE"),
        ("CREATE SUBSCRIPTION s CONNECTION 'host=evil' PUBLICATION p", "CREATE SUBSCRIPTION"),
        ("COMMENT ON DATABASE nova IS ''", "COMMENT ON"),
        ("SECURITY LABEL FOR x ON ROLE nova IS ''", "SECURITY LABEL"),
        ("COPY t FROM PROGRAM 'id'", "COPY T"),
        ("COPY t FROM '/etc/passwd'", "COPY T"),
        ("COPY t FROM stdin (FORMAT binary)", "COPY T"),
        ("COPY (SELECT 1) TO PROGRAM 'id'", "COPY"),
        ("COPY t TO stdout", "COPY T"),
        ("DO $$ BEGIN END $$", "DO"),
        ("CALL p()", "CALL P"),
        ("LOAD 'evil'", "LOAD"),
        ("SET ROLE nova", "SET ROLE"),
        ("SET SESSION AUTHORIZATION nova", "SET SESSION"),
        ("SET session_preload_libraries = 'evil'", "SET SESSION_PRELOAD_LIBRARIES"),
        ("SET LOCAL search_path = x", "SET LOCAL"),
        ("SET standard_conforming_strings = maybe", "SET STANDARD_CONFORMING_STRINGS"),
        ("RESET ALL", "RESET ALL"),
        ("SELECT pg_read_file('/etc/passwd')", "SELECT PG_READ_FILE"),
        ("SELECT pg_catalog.set_config('role', 'nova', false)", "SELECT PG_CATALOG"),
        ("SELECT pg_catalog.set_config(E'standard_conforming_strings', 'off', false)", "SELECT PG_CATALOG"),
        ("SELECT pg_catalog.setval('s', 1), pg_reload_conf()", "SELECT PG_CATALOG"),
        ("SELECT pg_catalog.setval('s', 1) FROM evil()", "SELECT PG_CATALOG"),
        ("WITH x AS (DELETE FROM t) SELECT 1", "WITH X"),
        ("UPDATE t SET i = 1", "UPDATE T"),
        ("DELETE FROM t", "DELETE FROM"),
        ("TRUNCATE t", "TRUNCATE T"),
        ("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION"),
        ("EXECUTE x", "EXECUTE X"),
        ("'text'", "something"),
    ] {
        check_refused(
            &format!("{statement};"),
            &format!("line 11 of its script holds what no dump of one database has: {name}"),
        );
    }
}

#[test]
fn what_is_no_dump_of_one_database_is_refused() {
    let refused = |text: &str| pieces(text.as_bytes(), &[]).unwrap_err();
    let none = "its script is none that pg_dump has written";
    assert_eq!(refused(""), none);
    assert_eq!(refused("CREATE TABLE t ();"), none);
    assert_eq!(refused("-- PostgreSQL database dump complete\n"), none);
    assert_eq!(
        refused("--\n-- PostgreSQL database cluster dump\n--\n"),
        "its script is a dump of a whole server by pg_dumpall, not of one database"
    );
    let twice = format!("{}{}", script(""), script(""));
    assert_eq!(refused(&twice), "its script goes on after its end, at line 27");
    assert_eq!(
        refused(&script("COPY t FROM stdin; CREATE TABLE u ();\n\\.\n")),
        "no rows follow the COPY at line 11"
    );
    let mut binary = script("COMMENT ON TABLE t IS 'x';").into_bytes();
    let at = binary.windows(3).position(|window| window == b"'x'").unwrap();
    for byte in [0xff, 0] {
        binary[at + 1] = byte;
        let error = pieces(&binary, &[]).unwrap_err();
        assert_eq!(error, "the statement at line 11 of its script is no text in UTF-8");
    }
}

/// An archive with files of so many zero bytes, in an unnamed file.
fn archive_of_zeros(files: usize, size: usize) -> std::fs::File {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    let encoder = flate2::write::GzEncoder::new(&mut file, flate2::Compression::best());
    let mut builder = tar::Builder::new(encoder);
    for number in 0..files {
        let mut header = tar::Header::new_ustar();
        header.set_size(size as u64);
        builder.append_data(&mut header, format!("sources/{number}"), &*vec![0; size]).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap().flush().unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn an_archive_that_unpacks_to_absurd_amounts_is_given_up() {
    let (kib, mib) = (1024, 1024 * 1024);
    assert_eq!(stream::limit(10 * kib), 1024 * mib, "a small archive may hold a lot");
    assert_eq!(stream::limit(100 * mib), 200 * 100 * mib);

    struct Nobody;
    impl container::Visitor for Nobody {
        fn script(&mut self, _: &[u8]) -> Result<(), Flaw> {
            Ok(())
        }
        fn entry(&mut self, _: FileEntry, _: &mut dyn std::io::Read) -> Result<(), Flaw> {
            Ok(())
        }
    }
    let read = |limit| {
        let file = archive_of_zeros(3, 300_000);
        container::read_within(limit, file, &mut Nobody, &Meter::default()).unwrap_err().to_string()
    };
    assert_eq!(read(2_000_000), "it holds no database.sql");
    assert_eq!(read(902_000), "it unpacks to more than 200 times its size");
    assert_eq!(read(700_000), "an entry claims an impossible size");
}

#[test]
fn an_endless_statement_is_given_up() {
    let mut scanner = Scanner::new();
    scanner.push(script("").split("SET").next().unwrap().as_bytes(), &mut |_| Ok(())).unwrap();
    scanner.push(b"COMMENT ON TABLE t IS '", &mut |_| Ok(())).unwrap();
    let chunk = vec![b'x'; 1024 * 1024];
    let pushed = (0..70).try_for_each(|_| scanner.push(&chunk, &mut |_| Ok(())));
    assert_eq!(pushed.unwrap_err().to_string(), "the statement at line 10 of its script is endless");
}

#[test]
fn statements_are_known_for_what_they_are() {
    let kind = |text: &str| {
        let mut kind = None;
        let text = script(&format!("{text};"));
        let mut scanner = Scanner::new();
        scanner
            .push(text.as_bytes(), &mut |piece| {
                if let Piece::Statement(statement) = piece {
                    kind = Some(statement.kind);
                }
                Ok(())
            })
            .unwrap();
        kind.unwrap()
    };
    let table = |schema: &str, name: &str| TableName { schema: Some(schema.into()), name: name.into() };
    assert_eq!(kind("SET client_encoding = 'utf8'"), Kind::Encoding("UTF8".into()));
    assert_eq!(kind("SET standard_conforming_strings TO 'off'"), Kind::Backslashes(true));
    assert_eq!(kind("SET transaction_timeout = 0"), Kind::Setting);
    assert_eq!(kind("SELECT pg_catalog.set_config('search_path', '', false)"), Kind::Setting);
    assert_eq!(kind("SELECT pg_catalog.lo_create('16403')"), Kind::LargeObject);
    assert_eq!(
        kind("SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = '1'"),
        Kind::Unlinks
    );
    assert_eq!(
        kind("CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA public"),
        Kind::Extension("uuid-ossp".into())
    );
    assert_eq!(kind("CREATE EXTENSION vector"), Kind::Extension("vector".into()));
    assert_eq!(kind("INSERT INTO \"A\".\"b.c\" VALUES (1), (2)"), Kind::Insert(table("A", "b.c")));
    assert_eq!(kind("ALTER TABLE IF EXISTS ONLY public.a DROP CONSTRAINT IF EXISTS b"), Kind::Changes);
    assert_eq!(kind("DROP TABLE public.a"), Kind::Removes);
    let names = |roles: &[&str]| Kind::Names(roles.iter().map(|role| (*role).to_owned()).collect());
    assert_eq!(kind("CREATE USER MAPPING FOR nova SERVER s"), names(&["nova"]));
    assert_eq!(kind("CREATE USER MAPPING FOR PUBLIC SERVER s"), names(&[]));
    assert_eq!(
        kind(
            "CREATE POLICY own ON public.t AS RESTRICTIVE FOR SELECT TO app, \"My \"\"role\" USING ((x = CURRENT_USER))"
        ),
        names(&["app", "My \"role"])
    );
    assert_eq!(kind("CREATE POLICY p ON public.t USING (true)"), names(&[]));
    assert_eq!(
        kind("GRANT SELECT(id) ON TABLE public.t TO reporting WITH GRANT OPTION"),
        names(&["reporting"])
    );
    assert_eq!(kind("BEGIN"), Kind::Begin);
}

#[test]
fn names_of_tables_are_the_same_however_they_are_quoted() {
    let check = |text: &str, schema: &str, name: &str| {
        assert_eq!(
            TableName::parse(text),
            Some(TableName { schema: Some(schema.into()), name: name.into() })
        );
    };
    check("public.users", "public", "users");
    check("\"public\".\"users\"", "public", "users");
    check("\"with.dot\".\"a\"\"b.c\"", "with.dot", "a\"b.c");
    assert_eq!(TableName::parse("users").unwrap().schema, None);
    for text in ["", "a.b.c", "\"open", "a.", ".b", "\"a\"b"] {
        assert_eq!(TableName::parse(text), None, "{text}");
    }
}
