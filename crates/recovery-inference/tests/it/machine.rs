//! The machine as it is seen here and as the system's own tools see it.

use std::path::Path;

use recovery_core::port::{Command, CommandRunner as _};
use recovery_inference::hardware::machine;
use recovery_process::ProcessRunner;

async fn output(program: &str, args: &[&str]) -> String {
    let command = args.iter().fold(Command::new(program), |command, arg| command.arg(*arg));
    let output = ProcessRunner::new().run(command.env("PATH", "/usr/bin:/bin")).await.unwrap();
    assert!(output.exit.success(), "{program}: {}", output.stderr_tail);
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn it_is_seen_as_lscpu_free_and_df_see_it() {
    let machine = machine::look(Path::new("/"));

    let lscpu = output("lscpu", &["--online", "--parse=CPU"]).await;
    let online = lscpu.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(usize::try_from(machine.cpu_cores).unwrap(), online, "lscpu");

    let free = output("free", &["--mebi"]).await;
    let total = free.lines().find_map(|line| line.strip_prefix("Mem:")).unwrap();
    let total: u64 = total.split_whitespace().next().unwrap().parse().unwrap();
    assert_eq!(machine.memory_mib, total, "free");
    assert!((1..=total).contains(&machine.available_mib), "{machine:?}");

    let df = output("df", &["--block-size=1M", "--output=avail", "/"]).await;
    let available: u64 = df.lines().nth(1).unwrap().trim().parse().unwrap();
    // Others write to the same disk meanwhile.
    let apart = machine.disk_free_mib.unwrap().abs_diff(available);
    assert!(apart <= 4096, "{apart} MiB from what df says");
}

#[test]
fn a_disk_that_is_not_there_is_not_known() {
    assert_eq!(machine::look(Path::new("/does/not/exist")).disk_free_mib, None);
    assert_eq!(machine::docker_disk_free(Path::new("/does/not"), "/exist"), None);
    let root = tempfile::tempdir().unwrap();
    assert!(machine::docker_disk_free(root.path(), "/").is_some_and(|free| free > 0));
}
