//! What the command line accepts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use recovery_core::{OperationId, VerifyLevel};

use super::{inference::InferenceAction, reset::ResetArguments};

const EXIT_STATUS: &str = "Exit status:
  0    done
  1    failed
  2    wrong arguments or settings; nothing was begun
  3    there is no such backup, restore or variable
  4    another operation is in the way
  5    the backup is damaged, or cannot be used here
  6    PostgreSQL, its client programs, a directory or the service at --url cannot be used
  130  cancelled, or not confirmed

Settings come from the environment and the file that NOVA_RECOVERY_CONFIG names; see `nova-recovery config`.";

/// Backs PostgreSQL up, and brings it back.
#[derive(Debug, Parser)]
#[command(name = "nova-recovery", version, after_help = EXIT_STATUS, max_term_width = 100)]
pub struct Arguments {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Works through the running service at this address, such as `http://127.0.0.1:8888`, instead of directly
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// With --url: reads the admin secret from this file instead of ADMIN_SECRET
    #[arg(long, global = true, value_name = "PATH")]
    pub secret_file: Option<PathBuf>,
    /// Prints one JSON document on standard output when it is over
    #[arg(long, global = true)]
    pub json: bool,
    /// Shows no progress, and no result but errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Shows the causes of an error, and the log at LOG_LEVEL
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Runs the service
    Serve,
    /// Makes a backup
    Backup,
    /// Lists the backups, newest first
    Backups,
    /// Checks a backup
    Verify {
        /// The backup: its name, or its path in the backup directory
        file: PathBuf,
        /// How thoroughly it is checked
        #[arg(long, value_enum, default_value_t = Level::Contents)]
        level: Level,
        /// The same as --level restore: a drill
        #[arg(long, conflicts_with = "level")]
        restore: bool,
    },
    /// Replaces the database by the contents of a backup; the present one is kept for a rollback
    Restore {
        /// The backup: its name, or its path in the backup directory
        file: PathBuf,
        /// Does not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Lists the restores that can be rolled back, newest first
    Restores,
    /// Takes a restore back: the database that it replaced becomes the live one again
    Rollback {
        /// The restore, as `restores` lists it; the newest where it is left out
        id: Option<OperationId>,
        /// Does not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Keeps a backup until it is unpinned, whatever its age
    Pin {
        /// The backup: its name, or its path in the backup directory
        file: PathBuf,
    },
    /// Lets a pinned backup go when its time is over
    Unpin {
        /// The backup: its name, or its path in the backup directory
        file: PathBuf,
    },
    /// Deletes a backup
    Delete {
        /// The backup: its name, or its path in the backup directory
        file: PathBuf,
        /// Does not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Takes in a backup from elsewhere, for example from another machine; none is ever overwritten
    Upload {
        /// The archive
        file: PathBuf,
    },
    /// Wipes what is not kept: rows, keys of Redis, files, backups; or shows what would go
    Reset(ResetArguments),
    /// Shows the database, the backups and what is running
    Status,
    /// Shows or changes which server of language models serves; with --url only
    Inference {
        /// What is done about it
        #[command(subcommand)]
        action: InferenceAction,
    },
    /// Shows or changes the variables of the `.env` that may be
    Env {
        /// What is done with them
        #[command(subcommand)]
        action: EnvAction,
    },
    /// Shows the settings in effect, without secrets
    Config {
        /// Prints the reference of all settings instead (Markdown)
        #[arg(long, conflicts_with = "json")]
        reference: bool,
    },
    /// Prints the OpenAPI document of the service
    Openapi,
}

/// What is done with the variables of the `.env`.
#[derive(Clone, Debug, Subcommand)]
pub enum EnvAction {
    /// Shows them, secrets masked
    Get {
        /// This one alone
        name: Option<String>,
    },
    /// Changes them, all or none
    Set {
        /// NAME=VALUE; for a NAME alone, as secrets need it, the value is read from standard input, a line for each
        #[arg(required = true)]
        assignments: Vec<String>,
    },
}

/// How thoroughly a backup is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Every byte is read and compared with the manifest's hashes
    Hashes,
    /// Besides, every file of the dump is decoded to its end
    Contents,
    /// Besides, it is loaded into a scratch database, which is dropped again, and the rows are compared
    Restore,
}

impl From<Level> for VerifyLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Hashes => Self::Hashes,
            Level::Contents => Self::Contents,
            Level::Restore => Self::Restore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("nova-recovery").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_after_the_command() {
        for line in [
            "--json --url http://x --secret-file /x backups",
            "backups --url http://x --json --secret-file /x",
            "--url http://x backups --secret-file /x --json",
        ] {
            let arguments = parse(line).unwrap();
            assert!(arguments.global.json);
            assert_eq!(arguments.global.url.as_deref(), Some("http://x"));
        }
    }

    #[test]
    fn commands_are_read() {
        let check = |line: &str, expect: &str| {
            let text = format!("{:?}", parse(line).unwrap().command);
            assert!(text.starts_with(expect), "{line}: {text}");
        };
        check("serve", "Serve");
        check("verify x.tar", "Verify { file: \"x.tar\", level: Contents, restore: false }");
        check("verify x.tar --level hashes", "Verify { file: \"x.tar\", level: Hashes, restore: false }");
        check("verify --restore x.tar", "Verify { file: \"x.tar\", level: Contents, restore: true }");
        check("verify x.tar --level restore", "Verify { file: \"x.tar\", level: Restore, restore: false }");
        check("restore x.tar", "Restore { file: \"x.tar\", yes: false }");
        check("restore -y x.tar", "Restore { file: \"x.tar\", yes: true }");
        check("pin x.tar", "Pin { file: \"x.tar\" }");
        check("unpin x.tar", "Unpin { file: \"x.tar\" }");
        check("rollback", "Rollback { id: None, yes: false }");
        check("rollback 018f0000-0000-7000-8000-000000000000 --yes", "Rollback { id: Some(018f0000");
        check("env get", "Env { action: Get { name: None } }");
        check("env get LOG_LEVEL", "Env { action: Get { name: Some(\"LOG_LEVEL\") } }");
        check(
            "env set LOG_LEVEL=x HF_TOKEN",
            "Env { action: Set { assignments: [\"LOG_LEVEL=x\", \"HF_TOKEN\"] } }",
        );
        check("inference status", "Inference { action: Status }");
        check("inference start vllm --drain-timeout 7", "Inference { action: Start { backend: \"vllm\"");
        check("inference stop", "Inference { action: Stop {");
        check("inference switch-model vllm org/m", "Inference { action: SwitchModel {");
        check("inference switch vllm", "Inference { action: Start {");
        check("config --reference", "Config { reference: true }");
        check("reset --preview", "Reset(ResetArguments { preview: true");
        check("reset --keep a,b --confirm RESET --reseed false --no-safety-backup", "Reset(ResetArguments {");
        check("reset --keep= --confirm RESET --accept-partial --include-pinned", "Reset(ResetArguments {");
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error() {
        for line in [
            "",
            "restor x.tar",
            "restore",
            "verify x.tar --level all",
            "verify x.tar --level hashes --restore",
            "rollback newest",
            "backups --secret hunter2",
            "config --reference --json",
            "env",
            "inference",
            "inference start",
            "inference switch-model vllm",
            "inference stop --drain-timeout soon",
            "env set",
            "reset",
            "reset --keep a",
            "reset --confirm RESET",
            "reset --preview --confirm RESET",
            "reset --keep a --confirm RESET --exact",
            "reset --keep a --confirm RESET --reseed",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
