//! Crash points as documented, and as observed.

use std::collections::{BTreeMap, BTreeSet};

use crate::broken::{Broken, Verdict};

/// What a reader of the output sees of the work in hand, after a process died and before the next one started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sees {
    /// Nothing of it.
    Nothing,
    /// Some or all of it.
    Output,
}

/// What a connector's README says about its crash points, and which of them a context reaches.
///
/// The README has a table whose first column names crash points in back-quotes (`` `file-writer/after-create`, `before-write` ``:
/// a name without `/` has the part before `/` of the one in front of it), and whose last column says what the user sees: it
/// begins with "nothing" when nothing of the work in hand is visible before the restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashTable {
    /// The README.
    pub readme: &'static str,
    /// The points that this context reaches.
    pub reached: BTreeSet<&'static str>,
}

/// What was seen at each point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed(BTreeMap<&'static str, (u64, BTreeSet<Sees>)>);

impl Observed {
    /// A process died at this point, and this was to be seen.
    pub fn add(&mut self, point: &'static str, sees: Sees) {
        let (deaths, seen) = self.0.entry(point).or_default();
        *deaths += 1;
        seen.insert(sees);
    }

    /// Adds what another campaign saw.
    pub fn merge(&mut self, other: Self) {
        for (point, (deaths, sees)) in other.0 {
            let (all, seen) = self.0.entry(point).or_default();
            *all += deaths;
            seen.extend(sees);
        }
    }

    /// The points at which processes died.
    pub fn points(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// How many processes died.
    pub fn deaths(&self) -> u64 {
        self.0.values().map(|(deaths, _)| deaths).sum()
    }

    /// A table: point, deaths, what was seen.
    pub fn markdown(&self) -> String {
        let row = |(point, (deaths, sees)): (&&str, &(u64, BTreeSet<Sees>))| {
            let sees = if sees.contains(&Sees::Output) { "output" } else { "nothing" };
            format!("| `{point}` | {deaths} | {sees} |\n")
        };
        let rows: String = self.0.iter().map(row).collect();
        format!("| crash point | deaths | seen before the restart |\n|---|---|---|\n{rows}")
    }

    /// Compares with what is documented.
    ///
    /// # Errors
    ///
    /// Naming points that were reached and not declared, declared and not reached, not documented, or documented otherwise.
    pub fn compare(&self, rule: &'static str, table: &CrashTable) -> Verdict {
        self.compare_part(rule, table)?;
        let broken = |what: String| Err(Broken::new(rule, what));
        let reached: BTreeSet<&str> = self.points().collect();
        if let Some(point) = table.reached.iter().find(|point| !reached.contains(*point)) {
            return broken(format!("crash point `{point}` is never reached"));
        }
        let documented = documented(table.readme);
        let unseen = self.0.iter().find(|(point, (_, sees))| {
            documented.get(**point) == Some(&Sees::Output) && !sees.contains(&Sees::Output)
        });
        unseen.map_or(Ok(()), |(point, _)| {
            broken(format!(
                "the README says that output is seen after a death at `{point}`, and there was none"
            ))
        })
    }

    /// Compares what a sparing campaign observed: what it did not see may still be.
    ///
    /// # Errors
    ///
    /// Naming points that were reached and not declared, not documented, or with output where the table says nothing.
    pub fn compare_part(&self, rule: &'static str, table: &CrashTable) -> Verdict {
        let broken = |what: String| Err(Broken::new(rule, what));
        if let Some(point) = self.points().find(|point| !table.reached.contains(point)) {
            return broken(format!("crash point `{point}` is reached, and the context does not name it"));
        }
        let documented = documented(table.readme);
        for (point, (_, sees)) in &self.0 {
            match (documented.get(*point), sees.contains(&Sees::Output)) {
                (None, _) => return broken(format!("crash point `{point}` is not in the README's table")),
                (Some(Sees::Nothing), true) => {
                    return broken(format!(
                        "the README says that nothing is seen after a death at `{point}`, and there was"
                    ));
                }
                (Some(_), _) => {}
            }
        }
        Ok(())
    }
}

/// The crash points that a README's table names, with what it says is seen.
pub fn documented(readme: &str) -> BTreeMap<String, Sees> {
    let mut points = BTreeMap::new();
    for line in readme.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let (Some(first), Some(last)) = (cells.first(), cells.last()) else { continue };
        if !line.trim_start().starts_with('|') || cells.len() < 2 {
            continue;
        }
        let mut component: Option<&str> = None;
        for name in first.split('`').skip(1).step_by(2) {
            let full = match (name.split_once('/'), component) {
                (Some((before, _)), _) => {
                    component = Some(before);
                    name.to_owned()
                }
                (None, Some(component)) => format!("{component}/{name}"),
                (None, None) => continue,
            };
            let sees = if last.starts_with("nothing") { Sees::Nothing } else { Sees::Output };
            points.insert(full, sees);
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "\
        | option | default | what it does |\n|---|---|---|\n| `path` | required | a file |\n\n\
        | crash point | recovery | what the user sees |\n|---|---|---|\n\
        | `a/before`, `after` | again | nothing |\n\
        | `b/renamed` | looked up | the file |\n";

    fn table(reached: &[&'static str]) -> CrashTable {
        CrashTable { readme: README, reached: reached.iter().copied().collect() }
    }

    #[test]
    fn names_without_a_component_have_that_of_the_name_in_front() {
        let points = documented(README);
        let expected = [("a/after", Sees::Nothing), ("a/before", Sees::Nothing), ("b/renamed", Sees::Output)];
        assert_eq!(points.iter().map(|(name, sees)| (name.as_str(), *sees)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_was_observed_must_be_what_is_documented() {
        let mut observed = Observed::default();
        observed.add("a/before", Sees::Nothing);
        observed.add("b/renamed", Sees::Nothing);
        let wrong = observed.compare("x", &table(&["a/before", "b/renamed"])).unwrap_err();
        assert!(wrong.what.contains("b/renamed"), "documented as visible, never seen: {wrong}");
        observed.add("b/renamed", Sees::Output);
        assert_eq!(observed.compare("x", &table(&["a/before", "b/renamed"])), Ok(()));
        assert!(observed.compare("x", &table(&["a/before"])).is_err(), "reached, not declared");
        let never = observed.compare("x", &table(&["a/before", "a/after", "b/renamed"])).unwrap_err();
        assert!(never.what.contains("never reached"), "{never}");
        observed.add("a/before", Sees::Output);
        assert!(observed.compare("x", &table(&["a/before", "b/renamed"])).is_err(), "documented as nothing");
        let mut observed = Observed::default();
        for (name, sees) in
            [("a/before", Sees::Nothing), ("b/renamed", Sees::Output), ("c/new", Sees::Nothing)]
        {
            observed.add(name, sees);
        }
        let part = CrashTable { readme: README, reached: ["a/before", "b/renamed", "b/later"].into() };
        let mut observed_in_part = Observed::default();
        observed_in_part.add("b/renamed", Sees::Nothing);
        assert_eq!(observed_in_part.compare_part("x", &part), Ok(()), "what was not seen may still be");
        observed_in_part.add("a/before", Sees::Output);
        assert!(observed_in_part.compare_part("x", &part).is_err(), "documented as nothing");
        let unknown = observed.compare("x", &table(&["a/before", "b/renamed", "c/new"])).unwrap_err();
        assert!(unknown.what.contains("not in the README"), "{unknown}");
    }
}
