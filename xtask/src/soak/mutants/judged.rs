//! The survivors that somebody has looked at, and what is left when they are taken away.

use std::collections::BTreeMap;
use std::fmt;

use super::outcomes::{Mutant, Outcomes};
use crate::Result;

/// The checked-in list.
pub(super) const LIST: &str = include_str!("judged.toml");

/// Why a survivor may live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    equivalent: bool,
    why: String,
}

/// Reads the list. Each entry has `file`, `change`, `verdict` and `why`, and `at` unless the mutant replaces a whole function.
pub(super) fn read(text: &str) -> Result<BTreeMap<Mutant, Judgement>> {
    let table: toml::Table = text.parse().map_err(|e| format!("judged.toml: {e}"))?;
    let entries =
        table.get("survivor").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut judged = BTreeMap::new();
    for entry in entries {
        let optional =
            |key: &str| entry.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let required = |key: &str| match optional(key) {
            empty if empty.is_empty() => Err(format!("judged.toml: an entry has no `{key}`: {entry}")),
            given => Ok(given),
        };
        let mutant = Mutant { file: required("file")?, change: required("change")?, at: optional("at") };
        let equivalent = match required("verdict")?.as_str() {
            "equivalent" => true,
            "accepted" => false,
            other => {
                return Err(format!("judged.toml: a verdict is `equivalent` or `accepted`, not `{other}`"));
            }
        };
        let judgement = Judgement { equivalent, why: required("why")? };
        if judged.insert(mutant.clone(), judgement).is_some() {
            return Err(format!("judged.toml: judged twice: {mutant}"));
        }
    }
    Ok(judged)
}

/// What a run showed.
#[derive(Debug)]
pub(super) struct Verdict {
    counts: [(&'static str, usize); 4],
    endless: Vec<Mutant>,
    known: Vec<(Mutant, Judgement)>,
    unjudged: Vec<Mutant>,
    stale: Vec<Mutant>,
}

/// Compares the survivors with the list. In a run over all mutants a judged one that did not survive is a failure too.
pub(super) fn judge(outcomes: &Outcomes, judged: &BTreeMap<Mutant, Judgement>, all: bool) -> Verdict {
    let (mut known, mut unjudged) = (Vec::new(), Vec::new());
    for mutant in &outcomes.survived {
        match judged.get(mutant) {
            Some(judgement) => known.push((mutant.clone(), judgement.clone())),
            None => unjudged.push(mutant.clone()),
        }
    }
    let gone =
        |mutant: &&Mutant| outcomes.caught.contains(mutant) || (all && !outcomes.survived.contains(mutant));
    Verdict {
        counts: [
            ("caught", outcomes.caught.len()),
            ("endless, caught by time", outcomes.endless.len()),
            ("does not compile", outcomes.unviable.len()),
            ("survived", outcomes.survived.len()),
        ],
        endless: outcomes.endless.clone(),
        known,
        unjudged,
        stale: judged.keys().filter(gone).cloned().collect(),
    }
}

impl Verdict {
    /// Fails when a survivor is not judged, or a judged one does not survive.
    pub(super) fn result(&self) -> Result {
        let mut wrong = Vec::new();
        if !self.unjudged.is_empty() {
            wrong.push(format!(
                "{} mutants survived and are not judged: kill them with a test, or judge them in xtask/src/soak/mutants/judged.toml",
                self.unjudged.len()
            ));
        }
        if !self.stale.is_empty() {
            wrong.push(format!(
                "{} judged mutants did not survive: take them out of xtask/src/soak/mutants/judged.toml",
                self.stale.len()
            ));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

/// Tables in Markdown.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| mutants | |\n|---|---|")?;
        for (what, count) in self.counts {
            writeln!(f, "| {what} | {count} |")?;
        }
        if !self.known.is_empty() || !self.unjudged.is_empty() {
            writeln!(f, "\n| survivor | judged |\n|---|---|")?;
        }
        for mutant in &self.unjudged {
            writeln!(f, "| {} | **not judged** |", cell(&mutant.to_string()))?;
        }
        for (mutant, judgement) in &self.known {
            let verdict = if judgement.equivalent { "equivalent" } else { "accepted" };
            writeln!(f, "| {} | {verdict}: {} |", cell(&mutant.to_string()), cell(&judgement.why))?;
        }
        for mutant in &self.endless {
            writeln!(f, "endless: {mutant}")?;
        }
        for mutant in &self.stale {
            writeln!(f, "judged, but it did not survive: {mutant}")?;
        }
        for mutant in &self.unjudged {
            writeln!(f, "\n[[survivor]]\nfile = '{}'\nchange = '{}'", mutant.file, mutant.change)?;
            if !mutant.at.is_empty() {
                writeln!(f, "at = '{}'", mutant.at)?;
            }
            writeln!(f, "verdict = \"\"\nwhy = \"\"")?;
        }
        Ok(())
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell;

    fn mutant(change: &str) -> Mutant {
        Mutant { file: "x/m.rs".into(), change: change.into(), at: "a «<» 1".into() }
    }

    fn list(changes: &[&str]) -> BTreeMap<Mutant, Judgement> {
        let entry = |change: &&str| {
            format!(
                "[[survivor]]\nfile='x/m.rs'\nchange='{change}'\nat='a «<» 1'\nverdict='equivalent'\nwhy='x'\n"
            )
        };
        read(&changes.iter().map(entry).collect::<String>()).unwrap()
    }

    fn survived(changes: &[&str]) -> Outcomes {
        Outcomes { survived: changes.iter().map(|c| mutant(c)).collect(), ..Outcomes::default() }
    }

    #[test]
    fn a_survivor_that_nobody_judged_fails_the_soak() {
        assert_eq!(judge(&survived(&["a"]), &list(&["a"]), true).result(), Ok(()));
        let verdict = judge(&survived(&["a", "b"]), &list(&["a"]), true);
        assert!(verdict.result().unwrap_err().contains("1 mutants survived and are not judged"));
        assert!(verdict.to_string().contains("| m.rs: b: `a «<» 1` | **not judged** |"), "{verdict}");
    }

    #[test]
    fn a_judged_mutant_that_is_caught_must_leave_the_list() {
        let caught = Outcomes { caught: vec![mutant("a")], ..Outcomes::default() };
        assert!(judge(&caught, &list(&["a"]), false).result().is_err());
        assert!(judge(&survived(&[]), &list(&["a"]), true).result().is_err());
        assert_eq!(judge(&survived(&[]), &list(&["a"]), false).result(), Ok(()), "it was in another shard");
    }

    #[test]
    fn a_judgement_without_a_reason_is_refused() {
        let text = "[[survivor]]\nfile='f'\nchange='c'\nverdict='equivalent'\n";
        assert!(read(text).unwrap_err().contains("`why`"));
        let text = "[[survivor]]\nfile='f'\nchange='c'\nverdict='fine'\nwhy='x'\n";
        assert!(read(text).unwrap_err().contains("fine"));
    }

    /// Without running one mutant: a line that changed must be judged anew.
    #[test]
    fn every_judged_line_is_still_in_the_source() {
        for mutant in read(LIST).unwrap().into_keys() {
            let source = std::fs::read_to_string(shell::root().join(&mutant.file)).unwrap();
            let line = mutant.at.replace(['«', '»'], "");
            assert!(source.lines().any(|l| l.trim() == line) || line.is_empty(), "{mutant}");
        }
    }
}
