//! Soaks: `connect` under random kills or signals, while a scanner watches everything that is visible; the campaigns of the
//! simulation with more rounds than the tests run; and mutants of the coordinators.

mod columns;
mod input;
mod jobs;
mod mutants;
mod pipeline;
mod random;
mod rounds;
mod scan;
mod store;
mod stores;

use clap::ValueEnum;

use crate::Result;
use rounds::{EndedBy, Output};

/// Which soak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// SIGKILL at a random moment.
    Kill,
    /// SIGKILL at a random moment, JSON lines to Parquet, read by pyarrow.
    KillParquet,
    /// The same into a server that speaks S3, which lives on.
    KillS3,
    /// SIGKILL at a random moment, lines into a topic and from topic to topic; in each fourth round the broker is killed, too.
    KillKafka,
    /// SIGKILL at a random moment of `connect store append` under load, with scales in between.
    KillStore,
    /// SIGKILL at random moments of two pipelines at once, lines into a store and out of it again.
    KillStorePipelines,
    /// Random operations on a segment store against a model, with deaths and faults of the simulated disk, from so many seeds.
    StoreModel,
    /// SIGINT or SIGTERM at a random moment: a stop with a savepoint.
    Signals,
    /// Whole jobs in the simulation, at every crash point and every write, from so many seeds; and 10,000 random jobs for each.
    Jobs,
    /// testkit's suites over connector-file, connector-pravega and the hosts, each check from so many seeds.
    Conformance,
    /// The coordinator state machines changed at one place at a time: a test must notice each. Installs cargo-mutants when it is
    /// missing, and takes some minutes, so continuous integration does not run it.
    Mutants,
}

/// Which soak, how long, from which seed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which soak.
    pub(crate) name: Name,
    /// How many rounds end by a kill or signal; the last one after them runs to the end of the input.
    #[arg(long, default_value_t = 100)]
    pub(crate) rounds: u32,
    /// Decides the input, the moments and the signals. Drawn and printed when it is not given.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// MiB of input per round: enough that the input does not end before the rounds do.
    /// Without it 16; 32 for Parquet, 128 where a server is in between.
    #[arg(long)]
    pub(crate) mib_per_round: Option<u64>,
    /// Of the mutants only every n-th, from the k-th: `0/8`, `1/8` and so on.
    #[arg(long, value_name = "K/N")]
    pub(crate) shard: Option<String>,
}

impl Arguments {
    /// The size of the input.
    fn bytes(&self) -> u64 {
        let usual = match self.name {
            Name::KillS3 => 128,
            Name::KillParquet => 32,
            Name::KillStorePipelines => 48,
            _ => 16,
        };
        let bytes = (self.mib_per_round.unwrap_or(usual) << 20) * u64::from(self.rounds.max(1));
        // A round that waits for a commit reads on meanwhile.
        bytes.max(match self.name {
            Name::KillS3 => 256 << 20,
            Name::KillStorePipelines => 768 << 20,
            _ => 0,
        })
    }

    /// As a person would type it.
    pub(crate) fn title(&self) -> &'static str {
        match self.name {
            Name::Kill => "cargo xtask soak kill",
            Name::KillParquet => "cargo xtask soak kill-parquet",
            Name::KillS3 => "cargo xtask soak kill-s3",
            Name::KillKafka => "cargo xtask soak kill-kafka",
            Name::KillStore => "cargo xtask soak kill-store",
            Name::KillStorePipelines => "cargo xtask soak kill-store-pipelines",
            Name::StoreModel => "cargo xtask soak store-model",
            Name::Signals => "cargo xtask soak signals",
            Name::Jobs => "cargo xtask soak jobs",
            Name::Conformance => "cargo xtask soak conformance",
            Name::Mutants => "cargo xtask soak mutants",
        }
    }
}

/// What continuous integration runs: each soak for some seconds, from a new seed each time.
pub(crate) fn small() -> Vec<Arguments> {
    let small = |name, rounds| Arguments { name, rounds, seed: None, mib_per_round: None, shard: None };
    vec![
        small(Name::Kill, 8),
        small(Name::Signals, 4),
        small(Name::KillParquet, 4),
        small(Name::KillS3, 3),
        small(Name::KillStore, 10),
        small(Name::KillStorePipelines, 6),
    ]
}

/// Runs a soak.
pub(crate) fn run(arguments: &Arguments) -> Result {
    match arguments.name {
        Name::Kill => rounds::run(arguments, EndedBy::Kill, Output::Lines),
        Name::KillParquet => rounds::run(arguments, EndedBy::Kill, Output::Parquet),
        Name::KillS3 => rounds::run(arguments, EndedBy::Kill, Output::S3),
        Name::KillKafka => jobs::kafka(arguments),
        Name::KillStore => store::run(arguments),
        Name::KillStorePipelines => stores::run(arguments),
        Name::StoreModel => jobs::store_model(arguments),
        Name::Signals => rounds::run(arguments, EndedBy::Signals, Output::Lines),
        Name::Jobs => jobs::run(arguments),
        Name::Conformance => jobs::conformance(arguments),
        Name::Mutants => mutants::run(arguments),
    }
}
