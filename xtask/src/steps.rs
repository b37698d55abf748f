//! Steps with names and seconds.

use std::time::Duration;

use crate::{Result, shell};

/// Runs steps one after the other, goes on after a failure, and remembers.
#[derive(Default)]
pub(crate) struct Steps(Vec<Step>);

struct Step {
    name: &'static str,
    seconds: Duration,
    outcome: Result,
}

impl Steps {
    /// Runs a step that has the last word: only its failure is told behind its own output.
    pub(crate) fn last(&mut self, name: &'static str, work: impl FnOnce() -> Result) {
        println!("\n== {name}");
        let started = shell::now();
        let outcome = work();
        self.0.push(Step { name, seconds: started.elapsed(), outcome });
    }

    /// Runs a step.
    pub(crate) fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result) {
        println!("\n== {name}");
        let started = shell::now();
        let outcome = work();
        let seconds = started.elapsed();
        match &outcome {
            Ok(()) => println!("== {name}: passed in {:.1} s", seconds.as_secs_f64()),
            Err(why) => println!("== {name}: FAILED in {:.1} s: {why}", seconds.as_secs_f64()),
        }
        self.0.push(Step { name, seconds, outcome });
    }

    /// One line for each step so far.
    pub(crate) fn print(&self) {
        println!();
        for step in &self.0 {
            let word = if step.outcome.is_ok() { "passed" } else { "FAILED" };
            println!("{word}  {:7.1} s  {}", step.seconds.as_secs_f64(), step.name);
        }
    }

    /// An error that names what failed.
    pub(crate) fn finish(self) -> Result {
        let failed: Vec<_> = self
            .0
            .iter()
            .filter_map(|s| s.outcome.as_ref().err().map(|why| format!("  {}: {why}", s.name)))
            .collect();
        if failed.is_empty() { Ok(()) } else { Err(format!("failed steps:\n{}", failed.join("\n"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_named_and_the_others_still_run() {
        let mut steps = Steps::default();
        let mut ran = false;
        steps.step("one", || Err("broken".into()));
        steps.step("two", || {
            ran = true;
            Ok(())
        });
        assert!(ran);
        assert_eq!(steps.finish(), Err("failed steps:\n  one: broken".to_owned()));
    }
}
