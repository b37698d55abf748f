//! The command line of `connect store`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use segment_store::{SegmentId, StreamCut, StreamName};

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Makes a stream, and what it needs: the store in the directory, the scope.
    Create(CreateArgs),
    /// Lists the streams. Works while a job has the store open.
    List(ListArgs),
    /// Shows what a store, or a stream of it, holds. Works while a job has the store open.
    Stat(StatArgs),
    /// Appends the lines of standard input as events, each exactly once for a writer's name.
    ///
    /// The routing key of a line is the text before its first tab; a line without one is spread by its number. Lines are numbered from 1. Given the
    /// same lines again, a writer of the same name appends those alone that the stream does not hold.
    Append(AppendArgs),
    /// Prints the events of a stream as lines, in order for every key. Works while a job has the store open.
    Tail(TailArgs),
    /// Replaces segments by others for the same keys.
    Scale(ScaleArgs),
    /// Removes what lies before a position.
    Truncate(TruncateArgs),
    /// Ends a stream: nothing is appended to it any more, and who reads it comes to an end.
    Seal(SealArgs),
    /// Reads everything and says what is broken: exit code 0 if nothing is.
    Verify(StoreArgs),
    /// Makes a new store of what can be read of a damaged one, which stays as it is.
    Salvage(SalvageArgs),
    /// Measures durable appends on this disk, in a store of its own that it removes afterwards.
    Bench(BenchArgs),
    /// Draws the segments of a stream over time and keys, as SVG on standard output. Works while a job has the store open.
    Chart(ChartArgs),
}

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The directory of the store.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Write one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which stream of which store.
#[derive(Debug, Args)]
pub(crate) struct StreamArgs {
    /// The directory of the store.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The stream.
    #[arg(long, value_name = "SCOPE/NAME")]
    pub(crate) stream: StreamName,
    /// Write JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
    /// How many segments it begins with, each for an equal part of the keys.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) segments: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Also the streams that the store made itself.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// A stream; the whole store without it.
    #[arg(long, value_name = "SCOPE/NAME")]
    pub(crate) stream: Option<StreamName>,
}

#[derive(Debug, Args)]
pub(crate) struct AppendArgs {
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
    /// The writer's name. One process at a time uses it.
    #[arg(long, value_name = "NAME")]
    pub(crate) writer: String,
    /// Print the number of each line once it is durable, in blocks.
    #[arg(long)]
    pub(crate) ack: bool,
    /// How durable an acknowledged line is: `sync` survives a power cut, `os` the end of the process.
    #[arg(long, default_value = "sync", value_parser = ["sync", "os"])]
    pub(crate) durability: String,
    /// For tests: the size of a file of the log, of which so few make old bytes move into objects soon.
    #[arg(long, hide = true, value_name = "BYTES")]
    pub(crate) log_file_size: Option<u64>,
}

/// A position in a stream.
#[derive(Clone, Debug)]
pub(crate) enum Position {
    Head,
    Tail,
    Cut(StreamCut),
}

fn position(text: &str) -> Result<Position, String> {
    match text {
        "head" => Ok(Position::Head),
        "tail" => Ok(Position::Tail),
        cut => {
            cut.parse().map(Position::Cut).map_err(|e| format!("write `head`, `tail` or a stream cut: {e}"))
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
    /// Where to begin: `head`, `tail`, or a stream cut such as `0.#epoch.0:1024`.
    #[arg(long, default_value = "tail", value_parser = position)]
    pub(crate) from: Position,
    /// Where to end: `tail` (as it is at the start) or a stream cut. Goes on for ever without it.
    #[arg(long, value_parser = position)]
    pub(crate) until: Option<Position>,
}

#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
    /// How many segments take the place of those that are replaced, each for an equal part of their keys.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) into: u32,
    /// The segments to replace, such as `0.#epoch.0`, neighbours by their keys; all by default.
    #[arg(long, value_name = "SEGMENT", value_delimiter = ',')]
    pub(crate) segments: Vec<SegmentId>,
}

#[derive(Debug, Args)]
pub(crate) struct TruncateArgs {
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
    /// What lies before this goes: `tail` or a stream cut.
    #[arg(long, value_parser = position)]
    pub(crate) at: Position,
}

#[derive(Debug, Args)]
pub(crate) struct SealArgs {
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SalvageArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The directory of the new store, which holds nothing yet.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The size of an event in bytes.
    #[arg(long, default_value_t = 1000)]
    pub(crate) size: usize,
    /// How many bytes of events to append in all, in MiB.
    #[arg(long, default_value_t = 256)]
    pub(crate) mebibytes: u64,
    /// How many segments the stream has.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) segments: u32,
    /// How many writers append at the same time.
    #[arg(long, default_value_t = 1)]
    pub(crate) writers: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ChartArgs {
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
}
