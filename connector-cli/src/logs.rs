//! Log lines on standard error, which get out of the way of a progress bar.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use indicatif::ProgressBar;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::LogFormat;
use crate::failure::Failure;

/// Standard error, shared by log lines and a progress bar.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen(Arc<OnceLock<ProgressBar>>);

impl Screen {
    /// From now on lines are written above this bar.
    pub(crate) fn share_with(&self, bar: &ProgressBar) {
        // There is one bar in a process; a second would only draw over the first.
        let _ = self.0.set(bar.clone());
    }
}

impl Write for Screen {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        match self.0.get() {
            Some(bar) => bar.suspend(|| io::stderr().write(text)),
            None => io::stderr().write(text),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Starts logging. `RUST_LOG` says what is logged; without it, `info` and above.
///
/// # Errors
///
/// [`Failure::Configuration`] when `RUST_LOG` can't be understood.
pub(crate) fn start(format: LogFormat) -> Result<Screen, Failure> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env()
        .map_err(|e| Failure::Configuration(format!("RUST_LOG: {e}")))?;
    let screen = Screen::default();
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(screen.clone()).with_ansi(false);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(screen)
}
