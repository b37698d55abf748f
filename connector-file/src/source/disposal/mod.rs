//! What becomes of files that were read: deleted or moved, durably, and any number of times with the same result.

mod local;
mod objects;

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::{Error, Result};
use connector_base::enumerator::Background;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::SourceConfig;
use super::discovery::backoff;
use super::kept::Done;
use super::metrics::{FILES_DISPOSED, count};
use super::place::SourcePlace;
use super::select::Selection;
use crate::place::Objects;

/// Crash point: a file that was read is still there.
pub(super) const BEFORE: &str = "file-disposal/before";
/// Crash point: files are gone, perhaps not durably.
pub(super) const BEFORE_SYNC: &str = "file-disposal/before-sync";
/// Crash point: files are gone, and no checkpoint knows.
pub(super) const AFTER_SYNC: &str = "file-disposal/after-sync";

/// What becomes of a file once a completed checkpoint holds all of it as read: `delete`, or `move:DIR`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum AfterRead {
    /// It is deleted.
    Delete,
    /// It is moved into this directory, to the path that it has below the path of the source. In an object store it is a
    /// prefix within the same bucket, or its URL.
    Move(PathBuf),
}

impl TryFrom<String> for AfterRead {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "delete" => Ok(Self::Delete),
            Some(("move", dir)) if !dir.is_empty() => Ok(Self::Move(dir.into())),
            _ => Err(format!("`{text}` is neither `delete` nor `move:DIR`")),
        }
    }
}

impl From<AfterRead> for String {
    fn from(after: AfterRead) -> Self {
        match after {
            AfterRead::Delete => "delete".into(),
            AfterRead::Move(dir) => format!("move:{}", dir.display()),
        }
    }
}

impl AfterRead {
    /// With the directory made absolute, which must not be one where the source looks for files.
    pub(super) fn checked(
        &self,
        place: &SourcePlace,
        selection: &Selection,
        base_dir: &Path,
        option: &str,
    ) -> Result<Self> {
        let Self::Move(dir) = self else { return Ok(self.clone()) };
        if dir.components().any(|part| part == Component::ParentDir) {
            return Err(Error::config(option, "the directory must not contain `..`"));
        }
        let dir = match place {
            SourcePlace::Local => base_dir.join(dir),
            SourcePlace::Objects(all) => prefix(all, dir).map_err(|reason| Error::config(option, reason))?,
        };
        let root = selection.glob.as_ref().map_or(&selection.path, |glob| &glob.base);
        if let Ok(inside) = dir.strip_prefix(root)
            && !inside.components().any(|part| selection.hides(part.as_os_str()))
        {
            let reason = format!("{} lies where the source looks for files", dir.display());
            return Err(Error::config(option, reason));
        }
        Ok(Self::Move(dir))
    }
}

/// The prefix that is meant, within the bucket.
fn prefix(all: &Objects, dir: &Path) -> Result<PathBuf, String> {
    let text = dir.to_str().ok_or("must be UTF-8 in an object store")?;
    let below = match text.strip_prefix(&all.url()) {
        Some(below) if text.contains("://") && (below.is_empty() || below.starts_with('/')) => below,
        _ if text.contains("://") => {
            return Err(format!("{text} is elsewhere: objects are moved within {}", all.url()));
        }
        _ => text,
    };
    let below = below.trim_matches('/');
    if !below.is_empty() {
        all.at(below).map_err(|e| e.to_string())?;
    }
    Ok(below.into())
}

/// How many files are disposed of at once: directories are made durable once for all of them.
pub(super) const BATCH: usize = 1_000;

/// Disposes of files in a task of its own.
#[derive(Debug)]
pub(super) struct Disposal {
    config: Arc<SourceConfig>,
    env: Environment,
    running: Background<()>,
    files: Arc<Vec<Done>>,
    failures: u32,
}

impl Disposal {
    pub(super) fn new(config: Arc<SourceConfig>, env: Environment) -> Self {
        Self { config, env, running: Background::idle(), files: Arc::default(), failures: 0 }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_running()
    }

    /// Begins with these files; nothing else may be under way.
    pub(super) fn start(&mut self, files: Vec<Done>) {
        self.files = Arc::new(files);
        self.run(Duration::ZERO);
    }

    fn run(&mut self, pause: Duration) {
        let Some(after) = self.config.watch.after_read.clone() else { return };
        let (config, env, files) = (Arc::clone(&self.config), self.env.clone(), Arc::clone(&self.files));
        self.running = Background::start(&self.env, "dispose of files", async move {
            if !pause.is_zero() {
                env.clock.sleep(pause).await;
            }
            let (fs, crash) = (Arc::clone(&env.fs), env.crash.clone());
            let work = move || {
                let (after, selection, crash) = (&after, &config.selection, &crash);
                match &config.place {
                    SourcePlace::Local => local::Disposing { after, fs: &*fs, selection, crash }.all(&files),
                    SourcePlace::Objects(all) => {
                        objects::Disposing { after, all, selection, crash }.all(&files)
                    }
                }
            };
            env.blocking("dispose of files", work).await
        });
    }

    /// The files that are gone, durably, when that is done. Failures are tried again.
    ///
    /// # Errors
    ///
    /// When it failed too often in a row, or what is there is not what was read.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<Option<Arc<Vec<Done>>>> {
        loop {
            match self.running.poll(cx) {
                Ok(None) => return Ok(None),
                Ok(Some(())) => {
                    self.failures = 0;
                    count(FILES_DISPOSED, self.files.len() as u64);
                    return Ok(Some(std::mem::take(&mut self.files)));
                }
                Err(error) => {
                    self.failures += 1;
                    let may_pass = match &error {
                        Error::Io { .. } => true,
                        Error::Connector { .. } | Error::Cancelled(_) => error.is_retryable(),
                        _ => false,
                    };
                    if !may_pass || self.failures > self.config.watch.retries {
                        return Err(error);
                    }
                    let pause = backoff(self.failures);
                    let failures = self.failures;
                    tracing::warn!(%error, failures, ?pause, "files that were read can't be disposed of; tried again");
                    self.run(pause);
                }
            }
        }
    }
}

/// What a file is not: moved away.
fn onto_itself(name: &str) -> Error {
    Error::data(name, None, "`after_read` moves it to where it is; it is left there")
}
