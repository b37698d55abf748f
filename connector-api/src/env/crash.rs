//! Named crash points.

use std::fmt;
#[cfg(feature = "crash-points")]
use std::sync::Arc;

/// Places in the code where a test lets the process die, by name.
///
/// With the feature `crash-points` off (the default) a hit compiles to nothing. With it on, a hit calls the handler that
/// the environment was made with; the handler may abort the process, or freeze a simulated file system so that nothing
/// after the hit has an effect.
///
/// Names read `<component>/<where>`, such as `file-committer/after-rename`; each crate lists its own.
#[derive(Clone, Default)]
pub struct CrashPoints {
    #[cfg(feature = "crash-points")]
    handler: Option<Arc<dyn Fn(&'static str) + Send + Sync>>,
}

impl CrashPoints {
    /// No handler: every hit does nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Calls `handler` with the name at every hit.
    #[cfg(feature = "crash-points")]
    pub fn new(handler: impl Fn(&'static str) + Send + Sync + 'static) -> Self {
        Self { handler: Some(Arc::new(handler)) }
    }

    /// Marks the place `name`.
    #[inline]
    pub fn hit(&self, name: &'static str) {
        #[cfg(feature = "crash-points")]
        if let Some(handler) = &self.handler {
            handler(name);
        }
        #[cfg(not(feature = "crash-points"))]
        let _ = name;
    }
}

impl fmt::Debug for CrashPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CrashPoints")
    }
}
