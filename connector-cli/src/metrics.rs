//! Metrics: totals for the report, and Prometheus text for `--metrics`.
//!
//! Everything below reports through the `metrics` facade under the names of FLIP-33 (see [`connector_api::metrics`]). Those
//! names are valid in Prometheus as they are, so nothing is renamed: no `_total` is added, and camel case stays.

mod server;
mod totals;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::failure::Failure;

pub(crate) use server::{bind, serve};
pub(crate) use totals::Totals;

/// Hands everything to the exporter, if there is one, and what the report needs to the totals.
struct Fan {
    totals: Totals,
    exporter: Option<PrometheusRecorder>,
}

/// Installs the recorder for this process. With `exported`, the handle renders all metrics as Prometheus text.
///
/// # Errors
///
/// When a recorder is installed already.
pub(crate) fn install(exported: bool) -> Result<(Totals, Option<PrometheusHandle>), Failure> {
    let totals = Totals::default();
    let exporter = exported.then(|| PrometheusBuilder::new().build_recorder());
    let handle = exporter.as_ref().map(PrometheusRecorder::handle);
    metrics::set_global_recorder(Fan { totals: totals.clone(), exporter })
        .map_err(|e| Failure::Surroundings(format!("metrics: {e}")))?;
    Ok((totals, handle))
}

impl Recorder for Fan {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        if let Some(exporter) = &self.exporter {
            exporter.describe_counter(key, unit, description);
        }
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        if let Some(exporter) = &self.exporter {
            exporter.describe_gauge(key, unit, description);
        }
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        if let Some(exporter) = &self.exporter {
            exporter.describe_histogram(key, unit, description);
        }
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        let next = self
            .exporter
            .as_ref()
            .map_or(Counter::noop(), |exporter| exporter.register_counter(key, metadata));
        self.totals.counter(key, next)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        let next =
            self.exporter.as_ref().map_or(Gauge::noop(), |exporter| exporter.register_gauge(key, metadata));
        self.totals.gauge(key, next)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.exporter
            .as_ref()
            .map_or(Histogram::noop(), |exporter| exporter.register_histogram(key, metadata))
    }
}
