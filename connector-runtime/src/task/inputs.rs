//! Several channels into one task, aligned at barriers.

use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::message::Element;
use crate::coordinate::barrier::Alignment;
use crate::coordinate::checkpoint::Trigger;
use crate::coordinate::watermark::WatermarkCombiner;

/// What comes out of aligned channels.
pub(crate) enum Aligned<T> {
    Data(T),
    Watermark(i64),
    Barrier(Trigger),
    /// All channels have ended. Barriers may still follow.
    End,
    /// A task in front is gone.
    Broken,
}

/// The receiving ends of the channels of one task.
pub(crate) struct Inputs<T> {
    receivers: Vec<mpsc::Receiver<Element<T>>>,
    alignment: Alignment,
    watermarks: WatermarkCombiner<usize>,
    next: usize,
}

impl<T> Inputs<T> {
    pub(crate) fn new(receivers: Vec<mpsc::Receiver<Element<T>>>) -> Self {
        let mut watermarks = WatermarkCombiner::new();
        (0..receivers.len()).for_each(|i| watermarks.add(i));
        Self { alignment: Alignment::new(receivers.len()), watermarks, next: 0, receivers }
    }

    /// The next element, taking the channels in turn. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Aligned<T> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Aligned<T>> {
        let count = self.receivers.len();
        let first = self.next;
        for i in (0..count).map(|i| (first + i) % count) {
            while !self.alignment.is_blocked(i) {
                let element = match self.receivers[i].poll_recv(cx) {
                    Poll::Pending => break,
                    Poll::Ready(None) => return Poll::Ready(Aligned::Broken),
                    Poll::Ready(Some(element)) => element,
                };
                self.next = (i + 1) % count;
                let out = match element {
                    Element::Data(data) => Some(Aligned::Data(data)),
                    Element::Watermark(millis) => self.watermarks.update(&i, millis).map(Aligned::Watermark),
                    Element::Idle(idle) => self.watermarks.set_idle(&i, idle).map(Aligned::Watermark),
                    Element::Barrier(trigger) => self.alignment.barrier(i, trigger).map(Aligned::Barrier),
                    Element::End => self.alignment.end(i).then_some(Aligned::End),
                };
                if let Some(out) = out {
                    return Poll::Ready(out);
                }
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_api::id::CheckpointId;
    use connector_api::sink::{Checkpoint, Prepare};
    use futures::FutureExt;

    fn barrier(id: u64) -> Element<u8> {
        let checkpoint = Checkpoint { id: CheckpointId(id), savepoint: false };
        Element::Barrier(Trigger { checkpoint, prepare: Prepare::Running, stop: false })
    }

    fn drain(inputs: &mut Inputs<u8>) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(aligned) = inputs.next().now_or_never() {
            out.push(match aligned {
                Aligned::Data(n) => n.to_string(),
                Aligned::Watermark(w) => format!("w{w}"),
                Aligned::Barrier(t) => format!("b{}", t.checkpoint.id),
                Aligned::End => "end".to_owned(),
                Aligned::Broken => return out,
            });
        }
        out
    }

    #[test]
    fn nothing_behind_a_barrier_overtakes_it() {
        let ((a, ra), (b, rb)) = (super::super::channel(), super::super::channel());
        let mut inputs = Inputs::new(vec![ra, rb]);
        for element in [Element::Data(1), barrier(1), Element::Data(2)] {
            assert!(a.try_send(element).is_ok());
        }
        assert!(b.try_send(Element::Data(3)).is_ok());
        assert_eq!(drain(&mut inputs), ["1", "3"]);
        assert!(b.try_send(barrier(1)).is_ok());
        assert_eq!(drain(&mut inputs), ["b1", "2"]);
    }

    #[test]
    fn the_end_comes_once_and_barriers_go_on() {
        let ((a, ra), (b, rb)) = (super::super::channel(), super::super::channel());
        let mut inputs = Inputs::new(vec![ra, rb]);
        assert!(a.try_send(Element::End).is_ok() && a.try_send(barrier(1)).is_ok());
        assert_eq!(drain(&mut inputs), Vec::<String>::new());
        assert!(b.try_send(Element::End).is_ok() && b.try_send(barrier(1)).is_ok());
        assert_eq!(drain(&mut inputs), ["end", "b1"]);
    }
}
