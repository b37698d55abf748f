//! Alignment: an input that delivered a barrier is not read until all have.

use connector_api::id::CheckpointId;

use super::checkpoint::Trigger;

/// Which inputs are held back behind a barrier.
#[derive(Debug)]
pub struct Alignment {
    arrived: Vec<Option<Trigger>>,
    ended: Vec<bool>,
}

impl Alignment {
    /// Over this many inputs.
    pub fn new(inputs: usize) -> Self {
        Self { arrived: vec![None; inputs], ended: vec![false; inputs] }
    }

    /// Whether this input must not be read.
    pub fn is_blocked(&self, input: usize) -> bool {
        self.arrived[input].is_some()
    }

    /// The barrier arrived on an input. Gives it back when it has arrived on all, and unblocks them.
    ///
    /// Every input delivers every barrier, in order, also after its end: barriers of two checkpoints never meet.
    pub fn barrier(&mut self, input: usize, trigger: Trigger) -> Option<Trigger> {
        self.arrived[input] = Some(trigger);
        if self.arrived.iter().any(Option::is_none) {
            return None;
        }
        self.arrived.fill(None);
        Some(trigger)
    }

    /// The input ended. Whether all have now.
    pub fn end(&mut self, input: usize) -> bool {
        self.ended[input] = true;
        self.ended.iter().all(|ended| *ended)
    }

    /// The checkpoint that is being aligned.
    pub fn aligning(&self) -> Option<CheckpointId> {
        self.arrived.iter().flatten().next().map(|t| t.checkpoint.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_api::sink::{Checkpoint, Prepare};

    fn trigger(id: u64) -> Trigger {
        let checkpoint = Checkpoint { id: CheckpointId(id), savepoint: false };
        Trigger { checkpoint, prepare: Prepare::Running, stop: false }
    }

    #[test]
    fn an_input_is_held_back_until_all_delivered_the_barrier() {
        let mut a = Alignment::new(2);
        assert_eq!(a.barrier(0, trigger(1)), None);
        assert!(a.is_blocked(0) && !a.is_blocked(1));
        assert_eq!(a.barrier(1, trigger(1)), Some(trigger(1)));
        assert!(!a.is_blocked(0) && !a.is_blocked(1));
    }

    #[test]
    fn the_end_is_the_end_of_all() {
        let mut a = Alignment::new(2);
        assert!(!a.end(1));
        assert!(a.end(0));
        assert_eq!(a.barrier(0, trigger(2)), None, "ended inputs deliver barriers too");
    }

    #[test]
    fn the_checkpoint_that_is_being_aligned_is_named_until_it_has_arrived_everywhere() {
        let mut a = Alignment::new(2);
        assert_eq!(a.aligning(), None);
        a.barrier(1, trigger(7));
        assert_eq!(a.aligning(), Some(CheckpointId(7)));
        a.barrier(0, trigger(7));
        assert_eq!(a.aligning(), None);
    }
}
