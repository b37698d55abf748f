//! Finding Python, and making an environment with packages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Missing;
use super::recipe::Recipe;

const REMEDY: &str = "Debian: apt-get install python3-venv";

/// Says what is missing; an environment that is there needs no further programs.
pub(crate) fn find(recipe: &dyn Recipe, is_cached: bool) -> Result<(), Missing> {
    if is_cached {
        return Ok(());
    }
    // `venv` alone is there on Debian, and fails for the want of `ensurepip`.
    let mut ask = Command::new("python3");
    ask.args(["-c", "import venv, ensurepip"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match ask.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Missing::new(recipe.name(), "python3 has no module venv", REMEDY)),
        Err(e) => Err(Missing::new(recipe.name(), &format!("python3 doesn't run: {e}"), REMEDY)),
    }
}

/// What makes the environment in an empty directory.
pub(crate) fn installs(dir: &Path, requirements: &[&str]) -> [Command; 2] {
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(dir);
    let mut install = Command::new(interpreter(dir));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(requirements);
    [make, install]
}

/// The interpreter of an environment. It finds its packages by its own place, so the directory may have been moved.
pub(crate) fn interpreter(dir: &Path) -> PathBuf {
    dir.join("bin/python")
}
