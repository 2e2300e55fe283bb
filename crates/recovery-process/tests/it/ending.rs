//! Programs that have to be ended: what they started goes with them.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use recovery_core::port::{Command, CommandError, CommandRunner as _};
use recovery_process::ProcessRunner;

const DEADLINE: Duration = Duration::from_secs(15);

fn sh(directory: &Path, script: &str) -> Command {
    Command::new("/bin/sh")
        .arg("-c")
        .arg(script)
        .env("PATH", "/usr/bin:/bin")
        .env("DIR", directory)
        .timeout(Duration::from_secs(60))
}

/// A leader that starts two others, one of which ignores SIGTERM, writes all their ids down and waits.
const FAMILY: &str = "
    sleep 600 & echo $! >$DIR/meek.tmp
    sh -c 'trap \"\" TERM; echo $$ >$DIR/stubborn.tmp; mv $DIR/stubborn.tmp $DIR/stubborn; while :; do sleep 600; done' &
    echo $$ >$DIR/leader.tmp
    mv $DIR/meek.tmp $DIR/meek; mv $DIR/leader.tmp $DIR/leader
    wait
";

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The ids that [`FAMILY`] has written down, once all are there.
async fn family(directory: &Path) -> [(&'static str, u32); 3] {
    let names = ["leader", "meek", "stubborn"];
    until("the family has started", || names.iter().all(|name| directory.join(name).exists())).await;
    names.map(|name| (name, fs::read_to_string(directory.join(name)).unwrap().trim().parse().unwrap()))
}

/// The state letter of a process, `None` where there is none of this id.
fn state(id: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
}

/// Waits until all have ended. The leader, a child of ours, must be reaped; the others are adopted by the machine's
/// first process, whose diligence is not ours to test.
async fn check_ended(family: [(&'static str, u32); 3]) {
    for (name, id) in family {
        let gone = || match state(id) {
            None => true,
            Some(letter) => name != "leader" && matches!(letter, 'Z' | 'X'),
        };
        until(&format!("{name} has ended"), gone).await;
    }
}

#[tokio::test]
async fn a_timeout_ends_the_whole_family() {
    let directory = tempfile::tempdir().unwrap();
    let runner = ProcessRunner::new().grace(Duration::from_millis(200));
    let error = runner.run(sh(directory.path(), FAMILY).timeout(Duration::from_secs(3))).await.unwrap_err();
    assert!(matches!(error, CommandError::TimedOut { .. }), "{error:?}");
    check_ended(family(directory.path()).await).await;
}

#[tokio::test]
async fn a_dropped_future_ends_the_whole_family() {
    let directory = tempfile::tempdir().unwrap();
    let runner = ProcessRunner::new().grace(Duration::from_millis(200));
    let run = runner.run(sh(directory.path(), FAMILY));
    let family = tokio::select! {
        result = run => panic!("it ended by itself: {result:?}"),
        family = family(directory.path()) => family,
    };
    check_ended(family).await;
}

#[tokio::test]
async fn the_gentle_signal_comes_first_and_last_words_are_heard() {
    let directory = tempfile::tempdir().unwrap();
    let script = "trap 'echo ending >&2; echo asked >$DIR/asked; exit 0' TERM; echo >$DIR/ready; while :; do sleep 0.05; done";
    let runner = ProcessRunner::new();
    let run = runner.run(sh(directory.path(), script));
    tokio::select! {
        result = run => panic!("it ended by itself: {result:?}"),
        () = until("it is ready", || directory.path().join("ready").exists()) => {}
    }
    until("it was asked to end", || directory.path().join("asked").exists()).await;
}

#[tokio::test]
async fn a_leader_that_ignores_the_gentle_signal_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; echo $$ >$DIR/leader.tmp; mv $DIR/leader.tmp $DIR/leader; while :; do sleep 0.05; done";
    let runner = ProcessRunner::new().grace(Duration::from_millis(200));
    let leader = directory.path().join("leader");
    let run = runner.run(sh(directory.path(), script));
    tokio::select! {
        result = run => panic!("it ended by itself: {result:?}"),
        () = until("it is ready", || leader.exists()) => {}
    }
    let leader: u32 = fs::read_to_string(leader).unwrap().trim().parse().unwrap();
    until("it was killed and reaped", || state(leader).is_none()).await;
}

#[tokio::test]
async fn a_future_dropped_outside_the_runtime_ends_the_family() {
    let directory = tempfile::tempdir().unwrap();
    let runner = ProcessRunner::new().grace(Duration::from_millis(200));
    let command = sh(directory.path(), FAMILY);
    let mut run = Box::pin(async move { runner.run(command).await });
    let family = tokio::select! {
        result = &mut run => panic!("it ended by itself: {result:?}"),
        family = family(directory.path()) => family,
    };
    std::thread::spawn(move || drop(run)).join().unwrap();
    check_ended(family).await;
}

#[test]
fn the_end_of_the_runtime_ends_the_family() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let command = sh(directory.path(), FAMILY);
    first.spawn(async move { ProcessRunner::new().run(command).await });
    let family = first.block_on(family(directory.path()));
    drop(first);
    // Nobody is left to reap the leader: ended is enough.
    runtime().block_on(async {
        for (name, id) in family {
            until(&format!("{name} has ended"), || matches!(state(id), None | Some('Z' | 'X'))).await;
        }
    });
}

#[tokio::test]
async fn too_much_output_ends_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let script = "echo $$ >$DIR/leader; exec yes";
    let error = ProcessRunner::new().run(sh(directory.path(), script)).await.unwrap_err();
    assert!(matches!(error, CommandError::TooMuchOutput { .. }), "{error:?}");
    let leader: u32 = fs::read_to_string(directory.path().join("leader")).unwrap().trim().parse().unwrap();
    assert_eq!(state(leader), None, "ended and reaped when the error is returned");
}

#[tokio::test]
async fn what_a_finished_program_left_behind_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let script = "sleep 600 & echo $! >$DIR/left; echo done";
    // With this grace, waiting for the pipes to close by themselves would be noticed.
    let runner = ProcessRunner::new().grace(Duration::from_secs(60));
    let began = Instant::now();
    let output = runner.run(sh(directory.path(), script)).await.unwrap();
    assert_eq!(output.stdout, b"done\n");
    assert!(began.elapsed() < DEADLINE, "it waited for the one left behind");
    let left: u32 = fs::read_to_string(directory.path().join("left")).unwrap().trim().parse().unwrap();
    until("the one left behind has ended", || matches!(state(left), None | Some('Z' | 'X'))).await;
}

#[tokio::test]
async fn one_that_leaves_the_group_cannot_hold_up_the_call() {
    let directory = tempfile::tempdir().unwrap();
    let script = "setsid sh -c 'echo $$ >$DIR/escaped; exec sleep 30' & \
        while [ ! -s $DIR/escaped ]; do sleep 0.01; done; echo done";
    let runner = ProcessRunner::new().grace(Duration::from_millis(100));
    let began = Instant::now();
    let output = runner.run(sh(directory.path(), script)).await.unwrap();
    assert_eq!(output.stdout, b"done\n");
    assert!(began.elapsed() < DEADLINE, "it waited for the one that left");
    let escaped = fs::read_to_string(directory.path().join("escaped")).unwrap();
    let end_it = Command::new("/bin/kill").arg(escaped.trim());
    assert!(ProcessRunner::new().run(end_it).await.unwrap().exit.success());
}

#[tokio::test]
async fn nothing_stays_behind_as_a_zombie() {
    let directory = tempfile::tempdir().unwrap();
    let runner = ProcessRunner::new();
    for round in 0..20 {
        let script = format!("echo $$ >$DIR/{round}; exit {round}");
        runner.run(sh(directory.path(), &script)).await.unwrap();
        let id: u32 =
            fs::read_to_string(directory.path().join(round.to_string())).unwrap().trim().parse().unwrap();
        assert_eq!(state(id), None, "round {round}");
    }
}
