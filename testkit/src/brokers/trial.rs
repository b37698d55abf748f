//! Tests that need a system: ignored with a reason where it can't start, failed where it must.

use std::cell::RefCell;

use libtest_mimic::{Completion, Failed, Trial};

use super::cache::Library;
use super::{Missing, Mode, Recipe};

thread_local! {
    /// What the systems that this thread's test has dropped said last; none while no test runs.
    static SAID: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Keeps the end of a log for the case that the test fails; nobody asks for it outside of a [`trial`].
pub(crate) fn remember(said: impl FnOnce() -> String) {
    SAID.with_borrow_mut(|all| {
        if let Some(all) = all {
            all.push(said());
        }
    });
}

/// Is everything on this machine that the system needs? Fetches nothing and starts nothing.
///
/// # Errors
///
/// One plain line: what is missing, and what to type.
pub fn require(recipe: &dyn Recipe) -> Result<(), Missing> {
    match Mode::from_env()? {
        Mode::Process => Library::check(recipe),
        #[cfg(feature = "containers")]
        Mode::Container => super::container::check(recipe),
        #[cfg(not(feature = "containers"))]
        Mode::Container => unreachable!("Mode::from_env refuses it"),
    }
}

/// A test for libtest-mimic that needs a system.
///
/// Where something is missing the test is listed as ignored, with the line that says what; with `CI` in the environment it
/// fails. It is never listed as passed without having run. The message of a test that fails ends with the last lines of the log of each system
/// that it used.
pub fn trial(
    name: impl Into<String>,
    recipe: impl Recipe,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || match require(&recipe) {
        Ok(()) => {
            SAID.set(Some(Vec::new()));
            let outcome = test();
            let said = SAID.take().unwrap_or_default();
            outcome.map(|()| Completion::Completed).map_err(|failed| {
                let why = failed.message().unwrap_or("the test failed").to_owned();
                [vec![why], said].concat().join("\n").into()
            })
        }
        Err(missing) if std::env::var_os("CI").is_some() => Err(missing.into()),
        Err(missing) => Ok(Completion::ignored_with(missing.to_string())),
    })
}
