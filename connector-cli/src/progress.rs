//! How far a running job is: a bar on a terminal, log lines otherwise.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::Duration;

use connector_api::env::Environment;
use connector_runtime::Progress;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::logs::Screen;
use crate::metrics::Totals;

const BAR_TICK: Duration = Duration::from_millis(200);
const LINE_TICK: Duration = Duration::from_secs(5);
/// Rates are means over about this long.
const WINDOW: Duration = Duration::from_secs(5);

/// Shows the progress of a job.
pub(crate) struct Display {
    env: Environment,
    totals: Totals,
    bar: Option<ProgressBar>,
    rates: Rates,
}

impl Display {
    /// A bar if standard error is a terminal, log lines otherwise.
    pub(crate) fn new(env: &Environment, totals: &Totals, screen: &Screen) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            if let Ok(style) = ProgressStyle::with_template("{elapsed} {wide_msg}") {
                bar.set_style(style);
            }
            screen.share_with(&bar);
            bar
        });
        let mut rates = Rates::default();
        rates.sample(env.clock.monotonic(), 0, 0);
        Self { env: env.clone(), totals: totals.clone(), bar, rates }
    }

    /// How often to [`show`](Self::show).
    pub(crate) fn tick(&self) -> Duration {
        if self.bar.is_some() { BAR_TICK } else { LINE_TICK }
    }

    /// Shows where the job stands.
    pub(crate) fn show(&mut self, progress: &Progress) {
        self.rates.sample(self.env.clock.monotonic(), progress.records_in, progress.bytes_in);
        let (records, bytes) = self.rates.per_second();
        let lag = self.totals.pending_records();
        let Some(bar) = &self.bar else {
            tracing::info!(
                records = progress.records_in,
                bytes = progress.bytes_in,
                records_per_second = records,
                bytes_per_second = bytes,
                percent = percent(progress),
                lag,
                restarts = progress.restarts,
                last_checkpoint = progress.last_checkpoint.map(|checkpoint| checkpoint.id),
                "progress"
            );
            return;
        };
        if bar.length().is_none()
            && let Some(total) = progress.total_bytes
        {
            bar.set_length(total);
            if let Ok(style) = ProgressStyle::with_template("{elapsed} [{bar:16}] {wide_msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
        }
        bar.set_position(progress.bytes_in);
        bar.set_message(message(progress, (records, bytes), lag, self.env.clock.now_millis()));
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How much of a bounded input was read. Terminators of records are not counted as read, so that it may end just below 100.
fn percent(progress: &Progress) -> Option<u64> {
    let total = progress.total_bytes.filter(|total| *total > 0)?;
    Some((u128::from(progress.bytes_in) * 100 / u128::from(total)).min(100) as u64)
}

fn message(progress: &Progress, (records, bytes): (u64, u64), lag: Option<u64>, now_millis: i64) -> String {
    let mut parts = vec![
        format!("{} records", HumanCount(progress.records_in)),
        format!("{}/s", HumanCount(records)),
        format!("{}/s", HumanBytes(bytes)),
    ];
    match (percent(progress), lag) {
        (Some(percent), _) => parts.push(format!("{percent}% done")),
        (None, Some(lag)) => parts.push(format!("{} behind", HumanCount(lag))),
        (None, None) => {}
    }
    parts.push(progress.last_checkpoint.map_or("no checkpoint yet".into(), |checkpoint| {
        let age = (now_millis - checkpoint.at_millis).max(0) / 1_000;
        format!("checkpoint {} {age} s ago ({:.0?})", checkpoint.id, checkpoint.duration)
    }));
    if progress.restarts > 0 {
        parts.push(format!("{} restarts", progress.restarts));
    }
    parts.join(", ")
}

/// Means over the last few seconds.
#[derive(Debug, Default)]
struct Rates(VecDeque<(Duration, u64, u64)>);

impl Rates {
    fn sample(&mut self, now: Duration, records: u64, bytes: u64) {
        self.0.push_back((now, records, bytes));
        // The oldest stays until the second oldest is a whole window old, so that there are always two.
        while self.0.len() > 2 && self.0[1].0 + WINDOW <= now {
            self.0.pop_front();
        }
    }

    /// Records and bytes per second.
    fn per_second(&self) -> (u64, u64) {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else { return (0, 0) };
        let seconds = last.0.saturating_sub(first.0).as_secs_f64();
        if seconds <= 0.0 {
            return (0, 0);
        }
        let rate = |first: u64, last: u64| (last.saturating_sub(first) as f64 / seconds) as u64;
        (rate(first.1, last.1), rate(first.2, last.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_runtime::CompletedCheckpoint;

    #[test]
    fn rates_are_means_over_the_last_seconds() {
        let mut rates = Rates::default();
        assert_eq!(rates.per_second(), (0, 0));
        for second in 0..20 {
            rates.sample(Duration::from_secs(second), second * second, second * 10);
        }
        let (records, bytes) = rates.per_second();
        assert_eq!(bytes, 10);
        assert!((30..=36).contains(&records), "{records}");
    }

    #[test]
    fn the_message_says_rates_share_and_last_checkpoint() {
        let mut progress = Progress { records_in: 1_500, bytes_in: 500, ..Progress::default() };
        assert_eq!(
            message(&progress, (10, 2_048), None, 0),
            "1,500 records, 10/s, 2.00 KiB/s, no checkpoint yet"
        );
        assert!(message(&progress, (0, 0), Some(9), 0).contains("9 behind"));
        progress.total_bytes = Some(1_000);
        progress.last_checkpoint = Some(CompletedCheckpoint {
            id: 7,
            duration: Duration::from_millis(12),
            bytes: 1,
            at_millis: 1_000,
        });
        let text = message(&progress, (10, 2_048), None, 4_500);
        assert!(text.ends_with("50% done, checkpoint 7 3 s ago (12ms)"), "{text}");
    }
}
