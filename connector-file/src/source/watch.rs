//! Which files are found, when, and what becomes of them: the options about it, checked.

use std::path::Path;
use std::time::Duration;

use connector_api::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::SourceOptions;
use super::disposal::AfterRead;
use super::place::SourcePlace;
use super::select::Selection;

/// In which order files are dealt to readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// By their paths.
    #[default]
    Path,
    /// By the times of their last modification, the oldest first; by their paths where the times are equal.
    Modified,
}

/// What becomes of a late file: one that was modified before the horizon and is not remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LateFiles {
    /// It fails the job and is named.
    #[default]
    Fail,
    /// It is read. If it was read before and forgotten, its records come twice.
    Read,
    /// It is left out: counted by the metric `filesLateSkipped`, and logged.
    Skip,
}

/// The options about finding files, checked.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// The pause between two listings; none for a source that lists once.
    pub(super) interval: Option<Duration>,
    pub(super) min_age: Duration,
    /// How many listings in a row may fail.
    pub(super) retries: u32,
    pub(super) order: Order,
    pub(super) horizon: Option<Horizon>,
    pub(super) after_read: Option<AfterRead>,
}

/// How long paths are remembered that are gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Horizon {
    pub(super) span: Duration,
    pub(super) late: LateFiles,
}

pub(super) fn default_retries() -> u32 {
    5
}

impl Watch {
    pub(super) fn new(
        options: &SourceOptions,
        place: &SourcePlace,
        selection: &Selection,
        base_dir: &Path,
        name: &dyn Fn(&str) -> String,
    ) -> Result<Self> {
        let refuse = |option: &str, reason: &str| Err(Error::config(name(option), reason));
        let interval = options.discovery_interval.map(|span| span.0);
        if interval.is_some_and(|interval| interval.is_zero()) {
            return refuse("discovery_interval", "must be longer than 0");
        }
        if interval.is_none() {
            let lists_once = "needs `discovery_interval`: without it the source lists its files once";
            if options.min_age.is_some() {
                return refuse("min_age", lists_once);
            }
            if options.horizon.is_some() {
                return refuse("horizon", lists_once);
            }
        }
        if options.late_files.is_some() && options.horizon.is_none() {
            return refuse(
                "late_files",
                "needs `horizon`: without it every path is remembered and none is late",
            );
        }
        if options.after_read.is_some() && options.horizon.is_some() {
            return refuse(
                "horizon",
                "has no use beside `after_read`: paths of files that are gone are forgotten",
            );
        }
        let after = options.after_read.as_ref();
        let after_read =
            after.map(|after| after.checked(place, selection, base_dir, &name("after_read"))).transpose()?;
        let late = options.late_files.unwrap_or_default();
        Ok(Self {
            interval,
            min_age: options.min_age.map_or(Duration::ZERO, |span| span.0),
            retries: options.discovery_retries,
            order: options.order,
            horizon: options.horizon.map(|span| Horizon { span: span.0, late }),
            after_read,
        })
    }

    /// Whether files can be found more than once under one path, so that their splits need other names.
    pub(super) fn forgets(&self) -> bool {
        self.horizon.is_some() || self.after_read.is_some()
    }
}
