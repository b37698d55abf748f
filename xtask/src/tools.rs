//! Programs of others that a check needs: installed into a directory that outlives clones and build directories.

use std::path::PathBuf;

use crate::{Result, shell};

/// A program that `cargo install` builds, in the one version that we read the output of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// The name of the package and of the program.
    pub(crate) name: &'static str,
    /// The version.
    pub(crate) version: &'static str,
}

impl Tool {
    /// The program, if an earlier [`install`](Self::install) put it into the cache.
    pub(crate) fn installed(self) -> Option<PathBuf> {
        let program = self.place().ok()?.join("bin").join(self.name);
        program.is_file().then_some(program)
    }

    /// The program, installed if need be (some minutes, once).
    pub(crate) fn install(self) -> Result<PathBuf> {
        if let Some(program) = self.installed() {
            return Ok(program);
        }
        println!("{} {} is not installed: installing it, which takes some minutes", self.name, self.version);
        let place = self.place()?;
        let mut command =
            shell::cargo(["install", "--locked", self.name, "--version", self.version, "--root"]);
        command.arg(&place);
        shell::run(command)?;
        self.installed().ok_or_else(|| format!("cargo install left no {} in {}", self.name, place.display()))
    }

    fn place(self) -> Result<PathBuf> {
        Ok(cache_dir()?.join(format!("{}-{}", self.name, self.version)))
    }
}

/// `$XDG_CACHE_HOME/connector-sdk`.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("connector-sdk"))
        .ok_or_else(|| "neither HOME nor XDG_CACHE_HOME is set".to_owned())
}
