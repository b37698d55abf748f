//! Whether and when a failed job is started again.

use std::time::Duration;

use crate::config::RestartStrategy;

/// Counts failures in a row. A completed checkpoint ends the row.
#[derive(Clone, Debug)]
pub struct Restarts {
    strategy: RestartStrategy,
    in_a_row: u32,
}

impl Restarts {
    /// By this strategy.
    pub fn new(strategy: RestartStrategy) -> Self {
        Self { strategy, in_a_row: 0 }
    }

    /// A checkpoint completed: what failed before is mended.
    pub fn progressed(&mut self) {
        self.in_a_row = 0;
    }

    /// The job failed. How long to wait before the next start; none: the job has failed for good.
    pub fn failed(&mut self) -> Option<Duration> {
        let (attempts, delay) = match self.strategy {
            RestartStrategy::None => return None,
            RestartStrategy::FixedDelay { attempts, delay } => (attempts, delay),
            RestartStrategy::Exponential { attempts, delay, max_delay } => {
                (attempts, delay.saturating_mul(1 << self.in_a_row.min(31)).min(max_delay))
            }
        };
        if self.in_a_row >= attempts {
            return None;
        }
        self.in_a_row += 1;
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn exponential_delays_double_up_to_the_bound_and_end() {
        let strategy = RestartStrategy::Exponential { attempts: 4, delay: 100 * MS, max_delay: 300 * MS };
        let mut r = Restarts::new(strategy);
        let delays: Vec<_> = (0..5).map(|_| r.failed()).collect();
        assert_eq!(delays, [Some(100 * MS), Some(200 * MS), Some(300 * MS), Some(300 * MS), None]);
    }

    #[test]
    fn a_completed_checkpoint_ends_the_row() {
        let mut r = Restarts::new(RestartStrategy::FixedDelay { attempts: 1, delay: MS });
        assert_eq!((r.failed(), r.failed()), (Some(MS), None));
        r.progressed();
        assert_eq!(r.failed(), Some(MS));
    }

    #[test]
    fn no_strategy_is_no_restart() {
        assert_eq!(Restarts::new(RestartStrategy::None).failed(), None);
    }
}
