//! Channels into a task, with aligned barriers.

use std::collections::VecDeque;

use bytes::Bytes;
use connector_api::id::CheckpointId;
use connector_runtime::coordinate::barrier::Alignment;
use connector_runtime::coordinate::checkpoint::Trigger;

/// What travels from task to task.
#[derive(Debug)]
pub(super) enum Element<T> {
    Data(T),
    Watermark(i64),
    /// Whether the sender holds the watermark back from now on.
    Idle(bool),
    Barrier(Trigger),
    End,
}

/// A committable with the checkpoint that it belongs to.
#[derive(Clone, Debug)]
pub(super) struct Committable {
    pub(super) checkpoint: CheckpointId,
    pub(super) bytes: Bytes,
}

/// What comes out of an inbox.
#[derive(Debug)]
pub(super) enum Taken<T> {
    Data(T),
    Watermark(usize, i64),
    Idle(usize, bool),
    /// Arrived on all inputs.
    Barrier(Trigger),
    /// Arrived on one input; the others are waited for.
    Aligning,
    /// All inputs ended.
    End,
    /// One of several inputs ended.
    Ended(usize),
}

/// The inputs of a task, one per instance in front of it.
#[derive(Debug)]
pub(super) struct Inbox<T> {
    queues: Vec<VecDeque<Element<T>>>,
    alignment: Alignment,
}

impl<T> Inbox<T> {
    pub(super) fn new(inputs: usize) -> Self {
        Self { queues: (0..inputs).map(|_| VecDeque::new()).collect(), alignment: Alignment::new(inputs) }
    }

    pub(super) fn push(&mut self, input: usize, element: Element<T>) {
        self.queues[input].push_back(element);
    }

    pub(super) fn backlog(&self, input: usize) -> usize {
        self.queues[input].len()
    }

    /// The inputs that can be read.
    pub(super) fn ready(&self) -> Vec<usize> {
        (0..self.queues.len())
            .filter(|i| !self.alignment.is_blocked(*i) && !self.queues[*i].is_empty())
            .collect()
    }

    pub(super) fn take(&mut self, input: usize) -> Option<Taken<T>> {
        Some(match self.queues[input].pop_front()? {
            Element::Data(data) => Taken::Data(data),
            Element::Watermark(millis) => Taken::Watermark(input, millis),
            Element::Idle(idle) => Taken::Idle(input, idle),
            Element::Barrier(trigger) => {
                self.alignment.barrier(input, trigger).map_or(Taken::Aligning, Taken::Barrier)
            }
            Element::End if self.alignment.end(input) => Taken::End,
            Element::End => Taken::Ended(input),
        })
    }
}
