//! The sample database: `data/sample`, at a size.

use anyhow::{Context, Result};

use crate::{cluster::Cluster, shell, workspace};

/// How large the sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Rows {
    /// A few thousand rows, in about a second
    Small,
    /// About 290 MB, in about 15 seconds
    Real,
}

impl Rows {
    /// The `scale` of `data/sample/data.sql`.
    pub(crate) fn scale(self) -> f64 {
        match self {
            Self::Small => 0.02,
            Self::Real => 1.0,
        }
    }
}

/// Creates a database and fills it.
pub(crate) fn load(cluster: &Cluster, database: &str, scale: f64) -> Result<()> {
    cluster.sql("postgres", &format!("CREATE DATABASE {database}"))?;
    let sample = workspace::root().join("data/sample");
    let mut psql = shell::command(cluster.program("psql"));
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", &format!("scale={scale}")]);
    psql.arg("-f").arg(sample.join("schema.sql")).arg("-f").arg(sample.join("data.sql"));
    psql.arg(cluster.url(database));
    shell::quiet(&mut psql).context("the sample data could not be loaded")
}

/// The size of a database in words.
pub(crate) fn size(cluster: &Cluster, database: &str) -> Result<String> {
    cluster.sql("postgres", &format!("SELECT pg_size_pretty(pg_database_size('{database}'))"))
}
