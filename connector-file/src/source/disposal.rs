//! What becomes of files that were read: deleted or moved, durably, and any number of times with the same result.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use connector_api::env::{Environment, FileSystem, Rename};
use connector_api::{Error, Result};
use connector_base::enumerator::Background;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::SourceConfig;
use super::discovery::backoff;
use super::kept::Done;
use super::listing::locate;
use super::metrics::{FILES_DISPOSED, count};
use super::select::Selection;
use super::split::FileState;

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
    /// It is moved into this directory, to the path that it has below the path of the source.
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
    pub(super) fn checked(&self, selection: &Selection, base_dir: &Path, option: &str) -> Result<Self> {
        let Self::Move(dir) = self else { return Ok(self.clone()) };
        if dir.components().any(|part| part == Component::ParentDir) {
            return Err(Error::config(option, "the directory must not contain `..`"));
        }
        let dir = base_dir.join(dir);
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
                Disposing { after: &after, fs: &*fs, selection: &config.selection, crash: &crash }.all(&files)
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
                    if !matches!(error, Error::Io { .. }) || self.failures > self.config.watch.retries {
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

struct Disposing<'a> {
    after: &'a AfterRead,
    fs: &'a dyn FileSystem,
    selection: &'a Selection,
    crash: &'a connector_api::env::CrashPoints,
}

impl Disposing<'_> {
    fn all(&self, files: &[Done]) -> Result<()> {
        // Where a file goes is made durable before it is gone where it was.
        let (mut to, mut from) = (BTreeSet::new(), BTreeSet::new());
        for done in files {
            let path = locate(self.selection, self.fs, done.path.as_path())?;
            let target = match self.after {
                AfterRead::Delete => None,
                AfterRead::Move(dir) => Some(dir.join(done.path.as_path())),
            };
            self.crash.hit(BEFORE);
            self.one(&path, &done.file, target.as_deref())?;
            to.extend(target.as_deref().and_then(Path::parent).map(Path::to_owned));
            from.extend(path.parent().map(Path::to_owned));
        }
        self.crash.hit(BEFORE_SYNC);
        // Also for what was gone before: whether durably is not known.
        to.iter().chain(&from).try_for_each(|dir| self.sync(dir))?;
        self.crash.hit(AFTER_SYNC);
        Ok(())
    }

    /// Deletes or moves a file, unless that was done before.
    fn one(&self, path: &Path, file: &FileState, target: Option<&Path>) -> Result<()> {
        let now = match self.fs.metadata(path) {
            Ok(now) => now,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::io("read metadata of", path)(e)),
        };
        if now.file_id != file.file_id {
            // Not the one that was read, but a new one, which the next listing finds.
            tracing::warn!(file = %path.display(), "another file bears the name of one that was read; it is left");
            return Ok(());
        }
        if let Some(difference) = file.difference(&now) {
            let reason = format!("{difference}, after it was read; so it is left as it is");
            return Err(Error::data(path.display().to_string(), None, reason));
        }
        match target {
            None => self.fs.remove_file(path).map_err(Error::io("remove", path)),
            Some(target) => self.carry(path, target, file),
        }
    }

    fn carry(&self, from: &Path, to: &Path, file: &FileState) -> Result<()> {
        if let Some(dir) = to.parent() {
            self.fs.create_dir_all(dir).map_err(Error::io("create directory", dir))?;
        }
        match self.fs.rename(from, to, Rename::NoReplace) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let there = self.fs.metadata(to).map_err(Error::io("read metadata of", to))?;
                if there.file_id == file.file_id && file.difference(&there).is_none() {
                    // A power cut left it under both names.
                    return self.fs.remove_file(from).map_err(Error::io("remove", from));
                }
                let reason =
                    format!("it was read and is to be moved to {}, where a file is already", to.display());
                Err(Error::data(from.display().to_string(), None, reason))
            }
            renamed => renamed.map_err(Error::io("move", from)),
        }
    }

    fn sync(&self, dir: &Path) -> Result<()> {
        match self.fs.sync_dir(dir) {
            // The directory itself is gone.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            synced => synced.map_err(Error::io("sync", dir)),
        }
    }
}
