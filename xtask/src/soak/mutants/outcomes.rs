//! What cargo-mutants wrote about each mutant, and names of mutants that outlive changes elsewhere in their file.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::Result;

/// One change of the code: names the same place as long as its line stays as it is, wherever it moves to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mutant {
    /// From the root of the repository.
    pub(super) file: String,
    /// `replace < with <= in Coordinator::handle`.
    pub(super) change: String,
    /// The line, and in it `«what is replaced»`. Empty where the whole body of a function is replaced.
    pub(super) at: String,
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.rsplit('/').next().unwrap_or_default();
        write!(f, "{file}: {}", self.change)?;
        if self.at.is_empty() { Ok(()) } else { write!(f, ": `{}`", self.at) }
    }
}

/// The mutants by what became of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcomes {
    /// A test failed.
    pub(super) caught: Vec<Mutant>,
    /// The tests did not end, which is noticed too.
    pub(super) endless: Vec<Mutant>,
    /// It does not compile.
    pub(super) unviable: Vec<Mutant>,
    /// No test noticed.
    pub(super) survived: Vec<Mutant>,
}

/// Reads `outcomes.json`; `source` gives the text of a file.
pub(super) fn read(text: &str, source: impl Fn(&str) -> Result<String>) -> Result<Outcomes> {
    let json: Value = serde_json::from_str(text).map_err(|e| format!("outcomes.json: {e}"))?;
    let all = json.get("outcomes").and_then(Value::as_array).ok_or("outcomes.json has no `outcomes`")?;
    let mut sources = BTreeMap::new();
    let mut outcomes = Outcomes::default();
    for outcome in all {
        // The other scenario is the baseline: the tests without any change.
        let Some(mutant) = outcome.get("scenario").and_then(|s| s.get("Mutant")) else { continue };
        let file = mutant.get("file").and_then(Value::as_str).ok_or("a mutant names no file")?;
        if !sources.contains_key(file) {
            sources.insert(file.to_owned(), source(file)?);
        }
        let mutant =
            self::mutant(mutant, file, &sources[file]).ok_or_else(|| format!("not understood: {mutant}"))?;
        match outcome.get("summary").and_then(Value::as_str) {
            Some("CaughtMutant") => outcomes.caught.push(mutant),
            Some("Timeout") if in_tests(outcome) => outcomes.endless.push(mutant),
            Some("Unviable") => outcomes.unviable.push(mutant),
            Some("MissedMutant") => outcomes.survived.push(mutant),
            other => return Err(format!("{mutant}: ended as {other:?}")),
        }
    }
    if outcomes.caught.is_empty() && outcomes.survived.is_empty() {
        return Err("not one mutant was tested: the state machines must have moved".to_owned());
    }
    Ok(outcomes)
}

/// Whether it was a test that did not end. A build that takes too long says nothing about the mutant.
fn in_tests(outcome: &Value) -> bool {
    let phases = outcome.get("phase_results").and_then(Value::as_array);
    let last = phases.and_then(|phases| phases.last()).and_then(|phase| phase.get("phase"));
    last.and_then(Value::as_str) == Some("Test")
}

fn mutant(mutant: &Value, file: &str, source: &str) -> Option<Mutant> {
    // `file:line:column: change`
    let name = mutant.get("name")?.as_str()?;
    let change = name.strip_prefix(file)?.splitn(4, ':').nth(3)?.trim().to_owned();
    let whole_body = mutant.get("genre")?.as_str()? == "FnValue";
    let at = if whole_body { String::new() } else { marked(mutant.get("span")?, source)? };
    Some(Mutant { file: file.to_owned(), change, at })
}

/// The first line of a span, with the span marked. Lines and columns count from 1, columns in characters.
fn marked(span: &Value, source: &str) -> Option<String> {
    let number =
        |end: &str, what: &str| span.get(end)?.get(what)?.as_u64().and_then(|n| usize::try_from(n).ok());
    let line = number("start", "line")?;
    let text: Vec<char> = source.lines().nth(line.checked_sub(1)?)?.chars().collect();
    let start = number("start", "column")?.checked_sub(1)?;
    let one_line = number("end", "line")? == line;
    let end = if one_line { number("end", "column")?.checked_sub(1)? } else { text.len() };
    let part = |range: std::ops::Range<usize>| text.get(range).map(|part| part.iter().collect::<String>());
    let marked = format!("{}«{}»{}", part(0..start)?, part(start..end)?, part(end..text.len())?);
    Some(marked.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "fn f(a: u8) -> bool {\n    a < 1 || a < 3\n}\n";

    fn outcome(summary: &str, genre: &str, name: &str, line: u32, columns: (u32, u32)) -> String {
        let (start, end) = columns;
        format!(
            r#"{{"summary":"{summary}","phase_results":[{{"phase":"Build"}},{{"phase":"Test"}}],"scenario":{{"Mutant":{{"name":"{name}","file":"x/m.rs","genre":"{genre}",
            "span":{{"start":{{"line":{line},"column":{start}}},"end":{{"line":{line},"column":{end}}}}}}}}}}}"#
        )
    }

    fn read_all(outcomes: &[String]) -> Result<Outcomes> {
        let baseline = r#"{"summary":"Success","scenario":"Baseline"}"#.to_owned();
        let all: Vec<_> = std::iter::once(baseline).chain(outcomes.iter().cloned()).collect();
        read(&format!(r#"{{"outcomes":[{}]}}"#, all.join(",")), |_| Ok(SOURCE.to_owned()))
    }

    #[test]
    fn two_mutants_of_one_line_are_told_apart_and_lines_may_move() {
        let name = "x/m.rs:2:16: replace < with == in f";
        let first = outcome("MissedMutant", "BinaryOperator", name, 2, (7, 8));
        let second = outcome("MissedMutant", "BinaryOperator", name, 2, (16, 17));
        let survived = read_all(&[first, second]).unwrap().survived;
        assert_eq!(survived[0].at, "a «<» 1 || a < 3");
        assert_eq!(survived[1].at, "a < 1 || a «<» 3");
        assert_eq!(survived[0].change, "replace < with == in f");
    }

    #[test]
    fn every_outcome_is_counted_where_it_belongs() {
        let of = |summary| outcome(summary, "FnValue", "x/m.rs:2:5: replace f -> bool with true", 2, (5, 19));
        let all = ["CaughtMutant", "Timeout", "Unviable", "MissedMutant"].map(of);
        let outcomes = read_all(&all).unwrap();
        let counts =
            [&outcomes.caught, &outcomes.endless, &outcomes.unviable, &outcomes.survived].map(Vec::len);
        assert_eq!(counts, [1; 4]);
        assert_eq!(outcomes.survived[0].at, "");
    }

    #[test]
    fn a_build_that_takes_too_long_catches_nothing() {
        let test = outcome("Timeout", "FnValue", "x/m.rs:2:5: replace f -> bool with true", 2, (5, 19));
        let build = test.replace(r#",{"phase":"Test"}"#, "");
        assert!(read_all(&[build]).unwrap_err().contains("Timeout"));
    }

    #[test]
    fn an_unknown_outcome_and_a_run_without_mutants_are_failures() {
        let odd = outcome("Failure", "FnValue", "x/m.rs:2:5: replace f -> bool with true", 2, (5, 19));
        assert!(read_all(&[odd]).unwrap_err().contains("Failure"));
        assert!(read_all(&[]).unwrap_err().contains("not one mutant"));
    }
}
