//! How many instances a stage has, and how committers are reached.

use std::sync::Arc;

use connector_api::Error;
use connector_api::sink::{Parallelism, Partition, Stage};

use crate::coordinate::route::{Route, instances};

fn stage(parallelism: Parallelism) -> Stage {
    let open = |_, _| Box::pin(async { Err(Error::Cancelled("never opened".into())) }) as _;
    Stage { uid: "stage".into(), parallelism, partition: Partition::Same, open: Arc::new(open) }
}

#[test]
fn a_stage_has_as_many_instances_as_it_says_and_at_least_one() {
    let of = [Parallelism::One, Parallelism::Same, Parallelism::Exactly(5), Parallelism::Exactly(0)];
    assert_eq!(of.map(|parallelism| instances(&stage(parallelism), 3)), [1, 3, 5, 1]);
}

#[test]
fn committers_are_reached_straight_only_when_there_are_as_many() {
    assert!(matches!(Route::to_committers(3, 3), Partition::Same));
    assert!(matches!(Route::to_committers(2, 3), Partition::Rebalance));
}
