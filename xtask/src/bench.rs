//! `cargo xtask bench`: builds in release form and runs the measuring programs of `benches/`.

use std::path::Path;
use std::process::Command;

use clap::ValueEnum;

use crate::{Result, shell};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// 1 GB of lines through `connect run`, against a bare program.
    Lines,
    /// JSON lines to Parquet through `connect run`, against a bare program over the same libraries.
    JsonParquet,
    /// Small Parquet files into one by the sink's compactor, against a loop that reads and writes.
    MergeParquet,
    /// Lines into an object store over slow connections.
    Objects,
    /// Lines out of a gzip file, against the decoder alone.
    Gzip,
    /// Kafka into a blackhole, against a bare loop over the same client; starts a broker.
    KafkaSource,
    /// The at-least-once sink of Kafka, against a bare loop over the same client; starts a broker.
    KafkaSink,
    /// Topic to topic exactly once through `connect run`, against a bare loop in transactions; starts a broker.
    KafkaCopy,
    /// The segment store: durable appends against a bare program, tail and catch-up reads, idle segments, recovery.
    Store,
    /// Durable appends into the segment store against Kafka on the same disk; starts a broker.
    StoreKafka,
    /// What the runtime costs per row, against a bounded channel.
    Framework,
    /// What a split costs in a snapshot and in a restore, few against many.
    Splits,
    /// What a watched directory of 100,000 files costs the enumerator, against one of 10,000.
    #[value(name = "file-directory-100k")]
    Directory,
}

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// One of them; all without it.
    name: Option<Name>,
    /// What the measuring program is given; `-- --help` shows what it takes.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Builds and runs. All are run; a bound that does not hold fails at the end.
pub(crate) fn run(arguments: &Arguments) -> Result {
    let features = ["connector-cli/parquet", "connector-cli/s3", "connector-cli/kafka"];
    let programs = shell::build_release(&["benches", "connector-cli"], &features)?;
    let dir = shell::target_dir()?.join("bench");
    let names = arguments.name.map_or(Name::value_variants().to_vec(), |name| vec![name]);
    let mut failed = Vec::new();
    for name in names {
        let program = match name {
            Name::Lines => "lines",
            Name::JsonParquet => "json_parquet",
            Name::MergeParquet => "merge_parquet",
            Name::Objects => "objects",
            Name::Gzip => "gzip",
            Name::KafkaSource => "kafka_source",
            Name::KafkaSink => "kafka_sink",
            Name::KafkaCopy => "kafka_copy",
            Name::Store => "store",
            Name::StoreKafka => "store_kafka",
            Name::Framework => "framework",
            Name::Splits => "splits",
            Name::Directory => "directory",
        };
        println!("\n== {program}");
        let mut command = Command::new(programs.join(program));
        // What the disk adds to a checkpoint is the same for any number of splits, and its noise hides them.
        let memory = Path::new("/dev/shm/connector-sdk-bench");
        let in_memory = name == Name::Splits && memory.parent().is_some_and(Path::is_dir);
        command.arg("--dir").arg(if in_memory { memory } else { &dir }).args(&arguments.rest);
        if let Err(why) = shell::run(command) {
            failed.push(why);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}
