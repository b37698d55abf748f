//! Where a source reads from. Its calls block.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use connector_api::Result;
use connector_api::env::Environment;

use super::listing::{self, Found};
use super::objects;
use super::select::Selection;
use super::split::FileSplit;
use crate::input::{Input, LocalInput};
use crate::place::{ObjectInput, Objects};

/// Local files, or all objects of a store.
#[derive(Clone, Debug)]
pub(crate) enum SourcePlace {
    Local,
    Objects(Objects),
}

impl SourcePlace {
    /// The files of the input; see [`listing::list`].
    pub(crate) fn list(
        &self,
        selection: &Selection,
        env: &Environment,
        continuous: bool,
        cancelled: &AtomicBool,
    ) -> Result<Vec<Found>> {
        match self {
            Self::Local => listing::list(selection, &*env.fs, continuous, cancelled),
            Self::Objects(all) => objects::list(selection, all, continuous, cancelled),
        }
    }

    /// Whether the input can be reached.
    pub(crate) fn check(&self, selection: &Selection, env: &Environment) -> Result<()> {
        match self {
            Self::Local => listing::check(selection, &*env.fs),
            Self::Objects(all) => objects::check(selection, all),
        }
    }

    /// Opens the file of a split, which must be as it was found.
    pub(crate) fn open(
        &self,
        selection: &Selection,
        env: &Environment,
        split: &FileSplit,
    ) -> Result<Box<dyn Input>> {
        let relative = split.path.as_path();
        Ok(match self {
            Self::Local => {
                let path = listing::locate(selection, &*env.fs, relative)?;
                Box::new(LocalInput::open(Arc::clone(&env.fs), path, split.file)?)
            }
            Self::Objects(all) => {
                let name = objects::locate(selection, all, relative)?;
                Box::new(ObjectInput::open(env.clone(), all.clone(), &name, split.file, split.end())?)
            }
        })
    }
}
