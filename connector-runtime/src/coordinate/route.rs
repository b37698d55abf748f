//! Which instance of the next stage of a sink an item goes to, and how many instances there are.

use bytes::Bytes;
use connector_api::Result;
use connector_api::sink::{Parallelism, Partition, Stage};

/// How many instances of a stage run beside this many committers.
pub fn instances(stage: &Stage, committers: u32) -> u32 {
    match stage.parallelism {
        Parallelism::One => 1,
        Parallelism::Same => committers,
        Parallelism::Exactly(n) => n.max(1),
    }
}

/// The way from one instance to those of the next stage.
#[derive(Debug)]
pub struct Route {
    partition: Partition,
    from: usize,
    turn: usize,
}

impl Route {
    /// From instance `from`, as the next stage's partition says.
    pub fn new(partition: Partition, from: usize) -> Self {
        Self { partition, from, turn: from }
    }

    /// How committers are reached from so many instances in front of them: a plan leaves that to the host.
    pub fn to_committers(front: u32, committers: u32) -> Partition {
        if front == committers { Partition::Same } else { Partition::Rebalance }
    }

    /// The instance, of `count` (at least 1), that an item goes to.
    ///
    /// # Errors
    ///
    /// When the key can't be read off the item.
    pub fn target(&mut self, item: &Bytes, count: usize) -> Result<usize> {
        Ok(match &self.partition {
            Partition::Same => self.from % count,
            Partition::Rebalance => {
                self.turn = (self.turn + 1) % count;
                self.turn
            }
            Partition::Key(key) => (key(item)? % count as u64) as usize,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(mut route: Route, items: &[&'static str]) -> Vec<usize> {
        items.iter().map(|item| route.target(&Bytes::from_static(item.as_bytes()), 3).unwrap()).collect()
    }

    #[test]
    fn an_item_goes_where_the_partition_says() {
        assert_eq!(targets(Route::new(Partition::Same, 5), &["a", "b"]), [2, 2]);
        assert_eq!(targets(Route::new(Partition::Rebalance, 0), &["a", "b", "c", "d"]), [1, 2, 0, 1]);
        let by_length = Partition::Key(std::sync::Arc::new(|item: &Bytes| Ok(item.len() as u64)));
        assert_eq!(targets(Route::new(by_length, 2), &["a", "four", "xx"]), [1, 1, 2]);
    }
}
