//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::set::Setting;
use crate::store::args::StoreCommand;

/// Runs pipelines from a source to a sink, exactly once, on one machine.
///
/// Exit codes: 0 done (also: stopped with a savepoint, or finished before), 1 failed, 2 bad configuration.
#[derive(Debug, Parser)]
#[command(name = "connect", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a pipeline until its input ends, it fails, or it is stopped.
    ///
    /// SIGINT and SIGTERM stop it with a savepoint (exit 0); a second signal gives it up at once (exit 1).
    Run(RunArgs),
    /// Checks a pipeline's options and whether what they point at can be reached. Moves and creates nothing.
    Check(CheckArgs),
    /// Lists the connectors.
    List,
    /// Documents the options of a connector, or (with the name `pipeline`) the keys around them.
    Options(OptionsArgs),
    /// Shows what is visible, pending and orphaned in the directory of a file sink.
    ///
    /// Moves nothing, and works while the job runs.
    Ls(LsArgs),
    /// Looks after stores of streams, which the connector `pravega` keeps in directories.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Looks after what the Kafka connector leaves on a cluster.
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    Kafka(KafkaCommand),
}

#[cfg(feature = "kafka")]
#[derive(Debug, Subcommand)]
pub(crate) enum KafkaCommand {
    /// Looks at transactions, and ends those that nobody else will.
    #[command(subcommand)]
    Transactions(TransactionsCommand),
}

#[cfg(feature = "kafka")]
#[derive(Debug, Subcommand)]
pub(crate) enum TransactionsCommand {
    /// Lists the transactions of ids with a prefix. Changes nothing.
    List(TransactionsListArgs),
    /// Aborts one open transaction, and fences its producer.
    ///
    /// What a checkpoint of a job has prepared under the id is lost by that: the job's next commit of it ends as `Lost`.
    Abort(TransactionsAbortArgs),
}

/// Which cluster.
#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Where the cluster is first asked: HOST:PORT, several separated by commas.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) bootstrap_servers: String,
    /// A property of the client, as in the `properties` of a pipeline. Repeatable.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = property)]
    pub(crate) properties: Vec<(String, String)>,
}

#[cfg(feature = "kafka")]
fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
pub(crate) struct TransactionsListArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// What the transactional ids begin with; all ids by default.
    #[arg(long, default_value = "")]
    pub(crate) prefix: String,
    /// Only those that hold back readers of committed records.
    #[arg(long)]
    pub(crate) open: bool,
    /// Write one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
pub(crate) struct TransactionsAbortArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// The transactional id, as `list` shows it.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The pipeline. Paths in it are relative to this file.
    #[arg(value_name = "FILE.toml")]
    pub(crate) file: PathBuf,
    /// Sets a key of the pipeline, as in `--set sink.path=out2` or `--set checkpoint.interval=5s`. Repeatable; later ones win.
    ///
    /// The value is read as TOML; what is no TOML value is taken as a text.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = Setting::parse)]
    pub(crate) settings: Vec<Setting>,
    /// How the report on standard output is written; with `json`, its last line is one JSON object, also after a failure.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) report: ReportFormat,
    /// What to start from: `latest` (the newest completed checkpoint or savepoint, if there is one), `none` (a new run), or
    /// the path of a checkpoint or savepoint (relative to the current directory).
    #[arg(long, value_name = "latest|none|PATH", default_value = "latest")]
    pub(crate) from: PathBuf,
    /// Restore a checkpoint although commits of a later one had begun: rows that are visible already may be written again.
    #[arg(long)]
    pub(crate) accept_duplicates: bool,
    /// Serve metrics as Prometheus text at http://ADDR/metrics. `9100` and `:9100` mean the loopback interface; name an
    /// address, as in `0.0.0.0:9100`, to be reached from elsewhere.
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<String>,
    /// How log lines on standard error are written. RUST_LOG sets what is logged (default `info`).
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The pipeline. Paths in it are relative to this file.
    #[arg(value_name = "FILE.toml")]
    pub(crate) file: PathBuf,
    /// Sets a key of the pipeline, as for `run`.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = Setting::parse)]
    pub(crate) settings: Vec<Setting>,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// The directory that the sink writes into, or the URL of a prefix of an object store, which is reached as the environment
    /// says (`--file` takes the table `sink.store`).
    #[arg(value_name = "PATH", required_unless_present = "file", conflicts_with = "file")]
    pub(crate) path: Option<PathBuf>,
    /// The pipeline whose sink to look at. Its checkpoints tell what is pending and what is orphaned.
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) file: Option<PathBuf>,
    /// Sets a key of the pipeline, as for `run`.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = Setting::parse, requires = "file")]
    pub(crate) settings: Vec<Setting>,
    /// The checkpoint directory of the job that writes into PATH: tells what is pending and what is orphaned.
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    pub(crate) checkpoints: Option<PathBuf>,
    /// Write one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OptionsArgs {
    /// The connector's name, or `pipeline`.
    pub(crate) name: String,
    /// Write one JSON object instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// A summary for people.
    Text,
    /// One line of JSON.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line of text each.
    Text,
    /// One JSON object per line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
