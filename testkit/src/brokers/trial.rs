//! Tests that need a system: ignored with a reason where it can't start, failed where it must.

use libtest_mimic::{Completion, Failed, Trial};

use super::cache::Library;
use super::{Missing, Mode, Recipe};

/// Is everything on this machine that the system needs? Fetches nothing and starts nothing.
///
/// # Errors
///
/// One plain line: what is missing, and what to type.
pub fn require(recipe: &dyn Recipe) -> Result<(), Missing> {
    match Mode::from_env()? {
        Mode::Process => Library::check(recipe).map(|_jvm| ()),
        #[cfg(feature = "containers")]
        Mode::Container => super::container::check(recipe),
        #[cfg(not(feature = "containers"))]
        Mode::Container => unreachable!("Mode::from_env refuses it"),
    }
}

/// A test for libtest-mimic that needs a system.
///
/// Where something is missing the test is listed as ignored, with the line that says what; with `CI` in the environment it
/// fails. It is never listed as passed without having run.
pub fn trial(
    name: impl Into<String>,
    recipe: impl Recipe,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || match require(&recipe) {
        Ok(()) => test().map(|()| Completion::Completed),
        Err(missing) if std::env::var_os("CI").is_some() => Err(missing.into()),
        Err(missing) => Ok(Completion::ignored_with(missing.to_string())),
    })
}
