//! What one check's campaign has observed, for the other checks of the same subject.

use std::sync::{Arc, Mutex, PoisonError};

use super::Observed;
use crate::broken::Broken;

/// The campaigns of one subject. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Campaigns {
    pub(crate) singles: Once,
    pub(crate) pairs: Once,
}

/// A campaign that need not be run twice, as long as it finds nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Once(Arc<Mutex<Option<Observed>>>);

impl Once {
    /// Runs the campaign and keeps what it observes.
    ///
    /// # Errors
    ///
    /// What it finds.
    pub(crate) fn run(&self, campaign: impl FnOnce() -> Result<Observed, Broken>) -> Result<(), Broken> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(campaign()?);
        Ok(())
    }

    /// What was observed, once the check that runs the campaign is done; a campaign of one's own where no check did, or where it
    /// found something.
    ///
    /// # Errors
    ///
    /// What the campaign finds.
    pub(crate) fn look(
        &self,
        campaign: impl FnOnce() -> Result<Observed, Broken>,
    ) -> Result<Observed, Broken> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(observed) => Ok(observed.clone()),
            None => {
                drop(kept);
                campaign()
            }
        }
    }
}
