//! Failing twins: connectors that break one rule each, and exactly the checks that must reject them.
//!
//! `cargo xtask twins` writes the table check x twin into docs/conformance.md.
#![allow(missing_docs, clippy::unwrap_used)]

mod document;
mod factories;
mod hosts;
mod rules;
mod sinks;
mod sources;
mod tolerant;

use std::collections::BTreeSet;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use testkit::check::{About, Check};
use testkit::lab::Settings;
use testkit::surroundings::Surroundings;
use testkit::{Capabilities, factory, host, reference, sink, source};

/// A connector that breaks rules.
#[derive(Clone)]
pub(crate) struct Twin {
    /// What it does wrong, in words.
    pub name: &'static str,
    /// The rules that it breaks.
    pub rules: &'static [&'static str],
    /// The checks that reject it; all others accept it.
    pub rejected_by: &'static [&'static str],
    /// Runs all checks of its family over it; gives the names of those that reject it.
    pub run: fn() -> BTreeSet<&'static str>,
}

/// Few rounds: what a twin breaks must show at once.
pub const SETTINGS: Settings = Settings { seed: 1, rounds: 12, real: false, sparing: false };

/// The checks that reject a subject.
pub fn rejecting<C>(
    checks: Vec<Check<C>>,
    make: impl Fn(&Surroundings) -> C,
    capabilities: &Capabilities,
) -> BTreeSet<&'static str> {
    let chosen = checks.into_iter().filter(|check| capabilities.missing(check.needs).is_none());
    chosen.filter(|check| check.judge(&make, SETTINGS).is_err()).map(|check| check.name).collect()
}

fn twin(twin: Twin) -> Trial {
    Trial::test(format!("twins::{}", twin.name), move || {
        let expected: BTreeSet<&str> = twin.rejected_by.iter().copied().collect();
        let rejecting = (twin.run)();
        if rejecting == expected {
            return Ok(());
        }
        let missed: Vec<_> = expected.difference(&rejecting).collect();
        let besides: Vec<_> = rejecting.difference(&expected).collect();
        Err(Failed::from(format!("accepted by {missed:#?}\nrejected also by {besides:#?}")))
    })
}

fn abouts() -> Vec<About> {
    let sources = source::checks::<reference::NumbersContext>();
    let sinks = sink::checks::<reference::LedgerContext>();
    let factories = factory::checks::<reference::MemoryFactory>();
    let hosts = host::checks::<host::EmbeddedHost>();
    let connectors = sources.iter().map(Check::about).chain(sinks.iter().map(Check::about));
    let all = connectors.chain(factories.iter().map(Check::about));
    all.chain(hosts.iter().map(Check::about)).collect()
}

fn all_twins() -> Vec<Twin> {
    [sources::twins(), sinks::twins(), factories::twins(), hosts::twins()].concat()
}

/// Every check can fail.
fn every_check_rejects_a_twin() -> Result<(), Failed> {
    let twins = all_twins();
    let rejecting: BTreeSet<&str> = twins.iter().flat_map(|twin| twin.rejected_by).copied().collect();
    let idle: Vec<_> = abouts().into_iter().map(|a| a.name).filter(|n| !rejecting.contains(n)).collect();
    if idle.is_empty() { Ok(()) } else { Err(Failed::from(format!("can't fail: {idle:#?}"))) }
}

/// Every rule is proved by a check that can fail, or by a test that is named.
fn every_rule_is_proved() -> Result<(), Failed> {
    let checks = abouts().into_iter().map(|about| (about.name, about.rules)).collect();
    let twins: Vec<_> =
        all_twins().into_iter().map(|t| (t.rules, t.rejected_by.iter().copied().collect())).collect();
    rules::check(&checks, &twins).map_err(Failed::from)
}

/// docs/conformance.md says what the twins show.
fn the_document_is_current() -> Result<(), Failed> {
    let kept = std::fs::read_to_string(document::path()).unwrap_or_default();
    if kept == document::render(&abouts(), &all_twins()) {
        return Ok(());
    }
    Err(Failed::from("docs/conformance.md is not what the twins show: `cargo xtask twins` writes it anew"))
}

fn main() -> ExitCode {
    // Twins panic by the hundred, and a check says so: nobody needs their backtraces.
    std::panic::set_hook(Box::new(|_| {}));
    if std::env::var_os("TWINS_WRITE").is_some() {
        return document::write(&abouts(), &all_twins());
    }
    let mut trials: Vec<Trial> = all_twins().into_iter().map(twin).collect();
    trials.push(Trial::test("every_check_rejects_a_twin", every_check_rejects_a_twin));
    trials.push(Trial::test("every_rule_is_proved", every_rule_is_proved));
    trials.push(Trial::test("the_document_is_current", the_document_is_current));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
