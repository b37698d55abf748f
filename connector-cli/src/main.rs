//! The command `connect`: run a pipeline exactly-once on one machine.
//!
//! Where what stands: [`args`] is the command line; [`file`](mod@file), [`tree`], [`set`], [`secrets`], [`pipeline`] and
//! [`load`] turn a pipeline's file into checked options, each of which knows its line; [`registry`] holds the connectors;
//! [`convert`] is what stands between two ends that carry different things; [`host`] hands all that to the runtime; [`run`], [`check`](mod@check), [`list`](mod@list), [`options`], [`ls`], [`store`] and `kafka` are the
//! commands; [`report`], [`progress`], [`logs`], [`metrics`] and [`output`] tell about a run; [`signals`] stop it;
//! [`failure`] has the exit codes; [`crash`] lets tests end it.

mod args;
mod check;
mod convert;
mod crash;
mod failure;
mod file;
mod host;
#[cfg(feature = "kafka")]
mod kafka;
mod list;
mod load;
mod logs;
mod ls;
mod metrics;
mod options;
mod output;
mod pipeline;
mod progress;
mod registry;
mod report;
mod run;
mod secrets;
mod set;
mod signals;
mod store;
mod tree;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::failure::{DONE, FAILED, Failure};

/// How long blocking work of a job that was left behind may hold up the end of the process.
const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("error: the async runtime can't be started: {e}");
            return ExitCode::from(FAILED);
        }
    };
    let code = runtime.block_on(async {
        match &cli.command {
            Command::Run(args) => run::run(args).await,
            Command::Check(args) => code(check::check(args).await),
            Command::List => {
                list::list();
                DONE
            }
            Command::Options(args) => code(options::options(args)),
            // It blocks, also on what an object store answers.
            Command::Ls(args) => code(tokio::task::block_in_place(|| ls::ls(args))),
            Command::Store(command) => code(store::store(command).await),
            #[cfg(feature = "kafka")]
            Command::Kafka(command) => code(kafka::kafka(command).await),
        }
    });
    runtime.shutdown_timeout(SHUTDOWN_PATIENCE);
    ExitCode::from(code)
}

fn code(result: Result<(), Failure>) -> u8 {
    match result {
        Ok(()) => DONE,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}
