//! The one front door: what the documentation says to type is `cargo xtask <something>`, and continuous integration runs
//! the same.

mod bench;
mod checks;
mod containers;
mod python;
mod quickstart;
mod real_data;
mod shell;
mod soak;
mod steps;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Every failure is told to a person; nobody matches on it.
type Result<T = (), E = String> = std::result::Result<T, E>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tests, checks, soaks and benchmarks of this repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that a change must pass: format, lints, documentation, dependency rules, tests. With `CI` set in the
    /// environment also what `ci` adds.
    Test,
    /// `test`, and with it cargo-deny (installed if it is missing), the quickstart and small soaks.
    Ci,
    /// Runs `connect` on examples/quickstart.toml and shows what came out.
    Quickstart,
    /// Measures; see docs/benchmarks.md for how to read the tables.
    Bench(bench::Arguments),
    /// TSV files to Parquet by day through `connect run`, read back by pyarrow and DuckDB: the rows must be equal.
    RealData(real_data::Arguments),
    /// Long campaigns: `connect` under random kills or signals, whole jobs in the simulation,
    /// mutants of the coordinators.
    Soak(soak::Arguments),
    /// The broker tests of testkit on containers, with a Docker daemon and an image of our own; needs root.
    Containers {
        /// A command to run there in place of testkit's own tests, such as `-- cargo test --workspace --all-features --test security`.
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Writes (or with --check compares) the listing of connector-api's public items, docs/api/connector-api.txt.
    Api {
        /// Fail when the listing in the tree differs from the code.
        #[arg(long)]
        check: bool,
    },
    /// Prints which check rejects which failing twin, and writes docs/conformance.md.
    Twins,
    /// Runs cargo-deny, which is installed into the cache directory when it is missing.
    Deny,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Test => test::run(std::env::var_os("CI").is_some()),
        Task::Ci => test::run(true),
        Task::Quickstart => quickstart::run(),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::RealData(arguments) => real_data::run(&arguments),
        Task::Soak(arguments) => soak::run(&arguments),
        Task::Containers { command } => containers::run(&command),
        Task::Api { check: true } => checks::api::check(),
        Task::Api { check: false } => checks::api::write(),
        Task::Twins => twins(),
        Task::Deny => checks::deny::install().and_then(|program| checks::deny::run(&program)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\n{why}");
            ExitCode::FAILURE
        }
    }
}

/// First the tests that show it, then the document that says it.
fn twins() -> Result {
    let command = || shell::cargo(["test", "-p", "testkit", "--test", "twins"]);
    let mut tests = command();
    tests.args(["--", "--skip", "the_document_is_current"]);
    shell::run(tests)?;
    let mut document = command();
    document.env("TWINS_WRITE", "1");
    shell::run(document)
}
