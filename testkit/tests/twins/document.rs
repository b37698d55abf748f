//! docs/conformance.md: checks, twins, and which check rejects which twin.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use testkit::check::About;

use super::Twin;
use super::rules::{ELSEWHERE, root, rules};

const HEAD: &str = "\
# Conformance: checks and twins

Made by `cargo xtask twins` from what was run; a test compares. A *check* proves rules of [semantics](semantics.md) on any connector or
host. A *twin* is a connector or host that breaks a rule; exactly the checks that are listed with it reject it. A check that needs a
capability which is not declared is listed as skipped, never as passed.
";

pub(crate) fn render(abouts: &[About], twins: &[Twin]) -> String {
    let mut text = HEAD.to_owned();
    let mut rejected: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for twin in twins {
        twin.rejected_by.iter().for_each(|check| rejected.entry(check).or_default().push(twin.name));
    }
    let broken = twins.iter().filter(|twin| !twin.rules.is_empty()).count();
    let (rules, checks) = (rules(), abouts.len());
    let _ = write!(text, "\n{} rules, {checks} checks, {broken} twins.\n", rules.len());

    text += "\n## Rule by rule\n\n| rule | checks | twins that break it |\n|---|---|---|\n";
    for (id, _) in &rules {
        let names = abouts.iter().filter(|about| about.rules.contains(&id.as_str()));
        let mut proving: Vec<String> = names.map(|about| format!("`{}`", about.name)).collect();
        let elsewhere = ELSEWHERE.iter().filter(|(rule, ..)| rule == id);
        proving.extend(elsewhere.map(|(_, file, test)| format!("test `{test}` in `{file}`")));
        let breaking = twins.iter().filter(|twin| twin.rules.contains(&id.as_str()));
        let breaking: Vec<&str> = breaking.map(|twin| twin.name).collect();
        let _ = writeln!(text, "| {id} | {} | {} |", proving.join("<br>"), breaking.join(", "));
    }

    text += "\n## Check by check\n";
    let mut group = "";
    for about in abouts {
        let family = about.name.split("::").next().unwrap_or_default();
        if family != group {
            group = family;
            let _ = write!(
                text,
                "\n### {family}\n\n| check | rules | where the rule comes from | a failure means | needs | rejects |\n|---|---|---|---|---|---|\n"
            );
        }
        let needs: Vec<String> = about.needs.iter().map(ToString::to_string).collect();
        let rejects = rejected.get(about.name).map(|all| all.join(", ")).unwrap_or_default();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {rejects} |",
            about.name,
            about.rules.join(", "),
            about.source,
            about.failure,
            needs.join(", "),
        );
    }

    text += "\n## Twin by twin\n\n| twin | breaks | rejected by |\n|---|---|---|\n";
    for twin in twins.iter().filter(|twin| !twin.rules.is_empty()) {
        let checks: Vec<String> = twin.rejected_by.iter().map(|check| format!("`{check}`")).collect();
        let _ = writeln!(text, "| {} | {} | {} |", twin.name, twin.rules.join(", "), checks.join("<br>"));
    }
    text
}

pub(crate) fn path() -> PathBuf {
    root().join("docs/conformance.md")
}

/// Writes the document, and prints which check rejects which twin. The tests prove that this is so.
#[allow(clippy::disallowed_methods)]
pub(crate) fn write(abouts: &[About], twins: &[Twin]) -> ExitCode {
    for twin in twins.iter().filter(|twin| !twin.rules.is_empty()) {
        println!("{} ({})", twin.name, twin.rules.join(", "));
        twin.rejected_by.iter().for_each(|check| println!("    {check}"));
    }
    if let Err(e) = std::fs::write(path(), render(abouts, twins)) {
        eprintln!("{}: {e}", path().display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
