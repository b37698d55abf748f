//! The listing, for people and for programs.

use serde_json::json;

use super::{Entry, Job, Listing, State};
use crate::output;

/// The states, each with what it is called.
const STATES: [(State, &str); 8] = [
    (State::Visible, "visible"),
    (State::Mark, "mark"),
    (State::Pending, "pending"),
    (State::InProgress, "in progress"),
    (State::Orphaned, "orphaned"),
    (State::OtherRun, "other run"),
    (State::Hidden, "hidden"),
    (State::Foreign, "foreign"),
];

impl State {
    fn name(self) -> &'static str {
        STATES.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }
}

/// Prints one JSON object.
pub(super) fn json(listing: &Listing) {
    let totals: serde_json::Map<_, _> = totals(&listing.files)
        .map(|(name, files, bytes)| (name.replace(' ', "_"), json!({ "files": files, "bytes": bytes })))
        .collect();
    let (path, job, files) = (&listing.path, &listing.job, &listing.files);
    output::line(&json!({ "path": path, "job": job, "totals": totals, "files": files }).to_string());
}

/// Prints a summary and a table.
pub(super) fn text(listing: &Listing) {
    let totals: Vec<String> =
        totals(&listing.files).map(|(name, files, bytes)| format!("{files} {name} ({bytes} B)")).collect();
    let totals = if totals.is_empty() { "nothing there".to_owned() } else { totals.join(", ") };
    output::line(&format!("{}: {totals}", listing.path));
    match &listing.job {
        Some(job) => output::line(&about(job)),
        None if listing.files.iter().any(|file| file.state == State::Hidden) => {
            output::line(
                "what is pending and what is orphaned is told with --checkpoints DIR or --file FILE.toml",
            );
        }
        None => {}
    }
    if listing.files.is_empty() {
        return;
    }
    let head = ["STATE", "BYTES", "RECORDS", "KIND", "ATTEMPT", "NAME"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(listing.files.iter().map(row));
    output::table(&rows);
}

fn about(job: &Job) -> String {
    let run = match &job.run {
        Some(run) => format!("run {run}, attempt {}", job.attempt),
        None => "the job has not begun".to_owned(),
    };
    let process = match job.process {
        Some(pid) => format!("process {pid} runs it"),
        None => "no process runs it".to_owned(),
    };
    format!("{}: {} checkpoints kept, {run}, {process}", job.checkpoints, job.kept)
}

fn row(file: &Entry) -> Vec<String> {
    let or_none = |value: Option<String>| value.unwrap_or("-".to_owned());
    let attempt = file.run.as_ref().zip(file.attempt).map(|(run, attempt)| format!("{run}_{attempt}"));
    vec![
        file.state.name().to_owned(),
        file.bytes.to_string(),
        or_none(file.records.map(|records| records.to_string())),
        or_none(file.kind.map(str::to_owned)),
        or_none(attempt),
        printable(&file.name),
    ]
}

/// A name of anybody's may hold what a terminal would act on.
fn printable(name: &str) -> String {
    name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// For each state that there is: its name, how many files, how many bytes.
fn totals(files: &[Entry]) -> impl Iterator<Item = (&'static str, usize, u64)> {
    STATES.into_iter().filter_map(move |(state, name)| {
        let of_state = || files.iter().filter(move |file| file.state == state);
        let bytes = of_state().map(|file| file.bytes).sum();
        (of_state().count() > 0).then(|| (name, of_state().count(), bytes))
    })
}
