//! Every rule of docs/semantics.md is proved: by a check that a twin makes fail, or by a test that is named here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rules that no check can prove from outside, and the tests that do: file and name.
pub(crate) const ELSEWHERE: &[(&str, &str, &str)] = &[
    // Whether a failed call changed something outside is known to the connector alone.
    // The probe of the host suite has no keys; the deterministic host keeps the rule in `tests/lockstep.rs`.
    ("H-14", "connector-runtime/tests/exactly_once.rs", "rows_of_one_key_reach_one_writer"),
    ("F-3", "connector-api/src/error.rs", "only_what_certainly_changed_nothing_says_so"),
];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The rules by id, with their text, in the order of the document.
pub(crate) fn rules() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("docs/semantics.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let (id, rule) = line.strip_prefix("| ")?.split_once(" | ")?;
        let (group, number) = id.split_once('-')?;
        let is_id = group.len() == 1 && number.parse::<u32>().is_ok();
        is_id.then(|| (id.to_owned(), rule.trim_end_matches(" |").to_owned()))
    });
    rows.collect()
}

/// Says which rules nothing proves, and which names of rules are wrong.
pub(crate) fn check(
    checks: &BTreeMap<&'static str, &'static [&'static str]>,
    twins: &[(&'static [&'static str], BTreeSet<&'static str>)],
) -> Result<(), String> {
    let rules = rules();
    let known: BTreeSet<&str> = rules.iter().map(|(id, _)| id.as_str()).collect();
    let mut wrong = Vec::new();
    for (name, named) in checks {
        let unknown = named.iter().filter(|rule| !known.contains(*rule));
        wrong.extend(
            unknown.map(|rule| format!("{name} names rule {rule}, which docs/semantics.md does not have")),
        );
    }
    for (id, rule) in &rules {
        let proving: BTreeSet<&str> =
            checks.iter().filter(|(_, named)| named.contains(&id.as_str())).map(|(name, _)| *name).collect();
        // A twin that breaks the rule must be rejected by a check that claims to prove it.
        let shown = twins.iter().any(|(broken, rejecting)| {
            broken.contains(&id.as_str()) && rejecting.iter().any(|name| proving.contains(name))
        });
        let elsewhere = ELSEWHERE.iter().find(|(other, ..)| other == id);
        match elsewhere {
            Some((_, file, test)) => {
                let text = fs::read_to_string(root().join(file)).unwrap_or_default();
                if !text.contains(&format!("fn {test}(")) {
                    wrong.push(format!("{id}: {file} has no test {test}"));
                }
                if shown {
                    wrong.push(format!("{id} is proved by a check: it need not stand in ELSEWHERE"));
                }
            }
            None if shown => {}
            None if !rule.contains("MUST") && !rule.contains("SHOULD") && proving.is_empty() => {
                wrong.push(format!("{id} is proved by nothing"));
            }
            None if proving.is_empty() => wrong.push(format!("{id} is proved by no check: {rule}")),
            None => wrong.push(format!("{id}: no twin that breaks it is rejected by a check that names it")),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
