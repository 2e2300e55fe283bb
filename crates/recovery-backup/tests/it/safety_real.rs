//! Keys of every kind in a real Redis: out with a safety backup, gone, and back with a restore or with `redis-cli` alone.

use std::{
    fs::File,
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
};

use recovery_core::{
    Actor, OperationKind,
    keys::KeySelection,
    port::{BackupMaker, Besides, OperationContext, Unwatched},
};
use recovery_store::RedisStore;
use recovery_testkit::servers::{PostgresServer, RedisServer};

use crate::fixture::Fixture;

/// Keys of every type, large and odd ones, with and without an end.
const KEYS: &str = "SELECT 2\n\
    SET text \"line\\r\\nand \\x00\\xff\"\n\
    SET number 17\n\
    SET ends soon PXAT 4102444800123\n\
    RPUSH list a b c\n\
    SADD set 1 2 3\n\
    ZADD zset 1.5 a 2 b\n\
    HSET hash field value other 2\n\
    XADD stream 1-1 field value\n\
    SET \"odd key\\r\\n*1\\r\\n$8\\r\\nFLUSHALL\\r\\n\" x\n\
    SELECT 5\n\
    EVAL \"for i=1,3000 do redis.call('set', 'many:'..i, string.rep('x', i)) end\" 0\n\
    SET kept kept\n";

fn redis(server: &RedisServer) -> Command {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &server.port().to_string()]);
    command
}

fn send(server: &RedisServer, commands: &str) {
    let mut child = redis(server).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && !said.contains("ERR"), "{said}");
}

/// A digest of everything that a database holds, ends included.
fn contents(server: &RedisServer, database: u8) -> String {
    let script = "local all = redis.call('keys', '*') table.sort(all) local text = '' \
                  for _, key in ipairs(all) do \
                  text = redis.sha1hex(text .. key .. redis.call('dump', key) .. redis.call('pexpiretime', key)) end \
                  return #all .. ' ' .. text";
    let output = redis(server).args(["-n", &database.to_string(), "EVAL", script, "0"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_kind_come_back_from_a_real_redis() {
    let server = RedisServer::start();
    let fixture = Fixture::on(PostgresServer::start(), |_| {});
    let store = Arc::new(RedisStore::new(&server.url(7).into()).unwrap());
    let backups = fixture.another(|settings| settings.own_key_database = Some(7)).with_keys(store);
    fixture.sql("CREATE TABLE notes (note text)");
    send(&server, KEYS);
    let before = [2, 5].map(|database| contents(&server, database));
    assert!(before[0].starts_with("9 ") && before[1].starts_with("3001 "), "{before:?}");

    let context = Unwatched::new();
    let lock = backups.lock(OperationKind::Backup, context.id(), &Actor::new("test")).await.unwrap();
    let besides = Besides {
        directories: Vec::new(),
        keys: vec![
            KeySelection::everything(2),
            KeySelection { database: 5, patterns: vec!["many:*".into()], except: Vec::new() },
        ],
    };
    let backup = backups.under(&lock).safety_backup(&besides, &context).await.unwrap();
    assert_eq!(backup.keys, 3009);
    send(&server, "FLUSHALL\nSELECT 5\nSET kept kept\nSET many:1 other\n");
    let emptied = [2, 5].map(|database| contents(&server, database));

    let report = backups.restore(&lock, &backup.filename, &context).await.unwrap();
    assert_eq!((report.keys_restored, report.warnings.as_slice()), (3009, &[] as &[String]));
    assert_eq!([2, 5].map(|database| contents(&server, database)), before);
    backups.rollback(&lock, report.id, &context).await.unwrap();
    assert_eq!([2, 5].map(|database| contents(&server, database)), emptied);

    // With nothing but tar and redis-cli.
    let into = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar")
        .arg("-xf")
        .arg(fixture.path(&backup.filename))
        .arg("-C")
        .arg(into.path())
        .status();
    assert!(unpacked.unwrap().success());
    for database in [2, 5] {
        let file = File::open(into.path().join(format!("redis/db{database}.resp"))).unwrap();
        let piped =
            redis(&server).args(["-n", &database.to_string(), "--pipe"]).stdin(file).output().unwrap();
        assert!(piped.status.success(), "{piped:?}");
    }
    assert_eq!([2, 5].map(|database| contents(&server, database)), before);
}
