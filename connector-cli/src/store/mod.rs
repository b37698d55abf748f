//! `connect store`: looks after stores of streams.

mod append;
pub(crate) mod args;
mod bench;
mod chart;
mod shape;
mod tail;
mod whole;

use std::path::Path;

use connector_api::env::Environment;
use segment_store::client::{StoreClient, StreamInfo};
use segment_store::{Error, Store, StoreOptions, StreamCut, StreamName};
use serde::Serialize;

use crate::failure::Failure;
use crate::output;
use args::{Position, StoreCommand};

/// Does what the command says.
pub(crate) async fn store(command: &StoreCommand) -> Result<(), Failure> {
    let env = connector_runtime::local::environment();
    match command {
        StoreCommand::Create(args) => shape::create(&env, args).await,
        StoreCommand::List(args) => shape::list(&env, args).await,
        StoreCommand::Stat(args) => shape::stat(&env, args).await,
        StoreCommand::Append(args) => append::append(&env, args).await,
        StoreCommand::Tail(args) => tail::tail(&env, args).await,
        StoreCommand::Scale(args) => shape::scale(&env, args).await,
        StoreCommand::Truncate(args) => shape::truncate(&env, args).await,
        StoreCommand::Seal(args) => shape::seal(&env, args).await,
        StoreCommand::Verify(args) => tokio::task::block_in_place(|| whole::verify(&env, args)),
        StoreCommand::Salvage(args) => tokio::task::block_in_place(|| whole::salvage(&env, args)),
        StoreCommand::Bench(args) => bench::bench(&env, args).await,
        StoreCommand::Chart(args) => chart::chart(&env, args).await,
    }
}

fn failed(error: Error) -> Failure {
    match error {
        Error::Invalid { .. } | Error::Limit { .. } => Failure::Configuration(error.to_string()),
        other => Failure::Surroundings(other.to_string()),
    }
}

/// A store that is there, for changing it.
async fn opened(env: &Environment, dir: &Path, options: StoreOptions) -> Result<Store, Failure> {
    Store::open_existing(env.clone(), dir, options).await.map_err(failed)
}

/// A store that is there, for looking at it.
async fn attached(env: &Environment, dir: &Path) -> Result<Store, Failure> {
    Store::attach(env.clone(), dir).await.map_err(failed)
}

/// A change was made: nothing is left to be replayed.
async fn closed(store: &Store) -> Result<(), Failure> {
    store.close().await.map_err(failed)
}

/// Where a position is.
fn cut(position: &Position, info: &StreamInfo) -> StreamCut {
    match position {
        Position::Head => info.head.clone(),
        Position::Tail => info.tail.clone(),
        Position::Cut(cut) => cut.clone(),
    }
}

async fn info(store: &Store, stream: &StreamName) -> Result<StreamInfo, Failure> {
    store.stream(stream).await.map_err(failed)
}

fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|e| Failure::Surroundings(e.to_string()))?;
    output::line(&text);
    Ok(())
}
