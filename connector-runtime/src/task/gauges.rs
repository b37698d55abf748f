//! The gauges of FLIP-33 that readers and writers show.

use std::time::Duration;

use connector_api::env::Clock;
use connector_api::metrics as names;
use metrics::Gauge;

use super::message::TaskContext;

/// What a source task shows besides its counters.
pub(super) struct SourceGauges {
    emit_lag: Gauge,
    watermark_lag: Gauge,
    watermark: Gauge,
    idle: Gauge,
    /// The last barrier before which something was emitted.
    last_emission: Duration,
    has_emitted: bool,
}

impl SourceGauges {
    pub(super) fn new(context: &TaskContext, subtask: u32) -> Self {
        let labels = [("job", context.job.to_string()), ("subtask", subtask.to_string())];
        let gauge = |name: &'static str| metrics::gauge!(name, &labels);
        Self {
            emit_lag: gauge(names::CURRENT_EMIT_EVENT_TIME_LAG),
            watermark_lag: gauge(names::WATERMARK_LAG),
            watermark: gauge(names::CURRENT_WATERMARK),
            idle: gauge(names::SOURCE_IDLE_TIME),
            last_emission: context.env.clock.monotonic(),
            has_emitted: false,
        }
    }

    /// A batch was emitted; its last row has this event time.
    pub(super) fn emitted(&mut self, last_event_time: Option<i64>, clock: &dyn Clock) {
        self.has_emitted = true;
        if let Some(millis) = last_event_time {
            self.emit_lag.set(clock.now_millis().saturating_sub(millis) as f64);
        }
    }

    pub(super) fn watermark(&self, millis: i64, clock: &dyn Clock) {
        self.watermark.set(millis as f64);
        self.watermark_lag.set(clock.now_millis().saturating_sub(millis) as f64);
    }

    /// Brings the idle time up to date. Its resolution is the checkpoint interval: reading the clock for each batch would
    /// cost more than passing the batch on.
    pub(super) fn barrier(&mut self, clock: &dyn Clock) {
        let now = clock.monotonic();
        if std::mem::take(&mut self.has_emitted) {
            self.last_emission = now;
        }
        self.idle.set(now.saturating_sub(self.last_emission).as_millis() as f64);
    }
}
