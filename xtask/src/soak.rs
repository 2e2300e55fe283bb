//! `cargo xtask soak`: the shipped program is killed at random moments of random operations, again and again, and what
//! the next start makes of it is looked at each time.
//!
//! What the database must be is known at every moment: as it was before the operation, or as the operation makes it.
//! `pg_dump` says which.
//!
//! Then the servers of language models are changed under load ([`inference`]).

mod inference;
mod round;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cluster::{self, Cluster},
    packages,
    sample::{self, Rows},
    shell, workspace,
};
use round::Soak;

/// Options of `cargo xtask soak`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long it goes on
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Repeats what a run with this seed did, as far as the moments allow; otherwise it is made up
    #[arg(long)]
    seed: Option<u64>,
    /// Soaks this program instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Only this part; otherwise both, one after the other
    #[arg(long)]
    only: Option<Part>,
}

/// The two parts.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Kills in the middle of operations on the database, for as long as is said
    Database,
    /// Changes of the inference server under load, some twenty minutes
    Inference,
}

/// Fewer rounds in five minutes say nothing.
const ROUNDS_IN_FIVE_MINUTES: u64 = 50;

/// Goes on until the time is up; fails at the first thing that is not as it must be, and leaves everything for a look.
pub(crate) fn run(options: &Options) -> Result<()> {
    packages::ensure()?;
    let binary = match &options.binary {
        Some(path) => fs::canonicalize(path).with_context(|| path.display().to_string())?,
        None => {
            println!("building nova-recovery (release)");
            workspace::build_service(true)?
        }
    };
    if options.only != Some(Part::Inference) {
        database(options, binary.clone())?;
    }
    if options.only != Some(Part::Database) {
        inference::run(&binary)?;
        println!("verdict: passed");
    }
    Ok(())
}

fn database(options: &Options, binary: PathBuf) -> Result<()> {
    let seed = match options.seed {
        Some(seed) => seed,
        None => u64::from_str_radix(&cluster::random_hex(8)?, 16)?,
    };
    println!("seed: {seed} (again with --seed {seed})");
    let directory = workspace::target_directory()?.join("soak");
    let home = cluster::home(&directory.join("postgres"))?;
    for old in [&home, &directory] {
        if old.exists() {
            if *old == home {
                cluster::stop_left_behind(&home)?;
            }
            fs::remove_dir_all(old)?;
        }
    }
    fs::create_dir_all(&directory)?;
    let postgres = Cluster::start(&home, 0, &["fsync=off", "max_connections=40"])?;
    sample::load(&postgres, "nova", Rows::Small.scale())?;
    let mut soak = Soak::new(binary, postgres, directory.clone(), seed)?;
    let begun = Instant::now();
    let time = Duration::from_secs(options.minutes * 60);
    let result = (|| {
        while begun.elapsed() < time {
            soak.round()?;
        }
        soak.last_words()
    })();
    println!("seed: {seed}\nrounds: {} in {} s", soak.rounds(), begun.elapsed().as_secs());
    println!("killed in: {}", soak.tally());
    if let Err(error) = result {
        println!("verdict: failed; what is there is in {}", directory.display());
        return Err(error);
    }
    let wanted = ROUNDS_IN_FIVE_MINUTES * options.minutes / 5;
    ensure!(soak.rounds() >= wanted, "only {} rounds; {wanted} were wanted", soak.rounds());
    drop(soak);
    fs::remove_dir_all(&home)?;
    println!("verdict: passed");
    Ok(())
}

/// A reproducible source of numbers (SplitMix64): no more is needed to choose moments.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// One of these; `None` where there is none.
    fn one_of<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let index = self.below(choices.len() as u64);
        choices.get(usize::try_from(index).unwrap_or(0))
    }
}

/// What `pg_dump` says of a database, less what differs from one run to the next.
fn dump(postgres: &Cluster, database: &str) -> Result<String> {
    let mut pg_dump = shell::command(postgres.program("pg_dump"));
    pg_dump.arg(postgres.url(database));
    let text = shell::output(&mut pg_dump)?;
    if text.is_empty() {
        bail!("an empty dump of {database}");
    }
    let stable = |line: &&str| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict ");
    Ok(text.lines().filter(stable).fold(String::new(), |text, line| text + line + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |seed| {
            let mut random = Random(seed);
            [random.below(1000), random.below(1000), random.below(1000)]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert_eq!(Random(1).below(0), 0);
        assert_eq!(Random(1).one_of::<u8>(&[]), None);
    }
}
