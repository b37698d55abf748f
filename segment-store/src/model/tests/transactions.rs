use super::*;
use crate::id::SegmentName;

fn begun(world: &mut World) -> TransactionId {
    world.run(&begin()).unwrap();
    world.stream(&a()).last_begun().unwrap()
}

fn state(world: &World, id: TransactionId) -> TransactionState {
    world.stream(&a()).transaction(id)
}

#[test]
fn a_transaction_has_a_segment_beside_each_current_one_until_it_ends() {
    let mut world = with_stream(2);
    let effects = world.run(&begin()).unwrap();
    let t = world.stream(&a()).last_begun().unwrap();
    let part = |number| SegmentName::new(a(), id(0, number)).within(t);
    assert_eq!(effects, [SegmentEffect::Create(part(0)), SegmentEffect::Create(part(1))]);
    let expected =
        OpenTransaction { lease_millis: 1_000, label: "l".into(), at: 3, segments: vec![id(0, 0), id(0, 1)] };
    assert_eq!(world.stream(&a()).open_transactions().collect::<Vec<_>>(), [(t, &expected)]);
    assert_eq!(state(&world, t), TransactionState::Open);
    let whole = |number| SegmentName::new(a(), id(0, number));
    let merge = |number| SegmentEffect::Merge { from: part(number), into: whole(number) };
    assert_eq!(world.run(&commit(t)).unwrap(), [merge(0), merge(1)]);
    assert_eq!(state(&world, t), TransactionState::Committed);
    let other = begun(&mut world);
    let gone = |number| SegmentEffect::Delete(SegmentName::new(a(), id(0, number)).within(other));
    assert_eq!(world.run(&abort(other)).unwrap(), [gone(0), gone(1)]);
    assert_eq!(state(&world, other), TransactionState::Aborted);
    assert_eq!(world.stream(&a()).last_begun(), Some(other));
}

#[test]
fn an_ended_transaction_does_not_end_again() {
    let mut world = with_stream(1);
    let (committed, aborted) = (begun(&mut world), begun(&mut world));
    world.run(&commit(committed)).unwrap();
    world.run(&abort(aborted)).unwrap();
    for (id, expected) in [(committed, "committed"), (aborted, "aborted")] {
        for op in [commit(id), abort(id)] {
            assert!(
                matches!(world.run(&op), Err(Error::TransactionEnded { state, .. }) if state == expected)
            );
        }
    }
}

#[test]
fn an_id_that_was_not_given_is_unknown() {
    let mut world = with_stream(1);
    let t = begun(&mut world);
    world.run(&commit(t)).unwrap();
    let others = [t.0 ^ 1, t.0 ^ 1 << 64, t.0 + (1 << 96), 0, u128::MAX].map(TransactionId);
    for other in others {
        assert_eq!(state(&world, other), TransactionState::Unknown, "{other}");
        assert!(matches!(world.run(&commit(other)), Err(Error::NoTransaction { .. })));
        assert!(matches!(world.run(&abort(other)), Err(Error::NoTransaction { .. })));
    }
}

#[test]
fn a_transaction_of_a_stream_is_none_of_that_of_its_marks() {
    let mut world = with_stream(1);
    let t = begun(&mut world);
    let (stream, at) = (a().marks(), 0);
    world
        .run(&StreamOp::Begin { stream: stream.clone(), lease_millis: 1, label: String::new(), at })
        .unwrap();
    let id = world.stream(&stream).last_begun().unwrap();
    world.run(&StreamOp::Commit { stream: stream.clone(), id, at }).unwrap();
    assert_eq!(world.stream(&stream).transaction(id), TransactionState::Committed);
    assert_eq!(world.stream(&stream).transaction(t), TransactionState::Unknown);
    assert_eq!(state(&world, id), TransactionState::Unknown);
}

#[test]
fn an_id_that_is_yet_to_come_is_unknown() {
    let mut ahead = with_stream(1);
    let (_, second) = (begun(&mut ahead), begun(&mut ahead));
    ahead.run(&scale(&[id(0, 0)], &[(0.0, 1.0)])).unwrap();
    let third = begun(&mut ahead);
    let mut world = with_stream(1);
    begun(&mut world);
    assert_eq!(state(&world, second), TransactionState::Unknown, "its counter was not reached");
    assert_eq!(begun(&mut world), second);
    begun(&mut world);
    assert_eq!(state(&world, third), TransactionState::Unknown, "its epoch was not reached");
}

/// Ids are computed again by later builds.
#[test]
fn the_ids_of_transactions_are_frozen() {
    let mut world = with_stream(1);
    assert_eq!(begun(&mut world).to_string(), "0000000000000000b8b4c2977eabce45");
    world.run(&scale(&[id(0, 0)], &[(0.0, 1.0)])).unwrap();
    assert_eq!(begun(&mut world).to_string(), "0000000100000001a47f399d4df59c38");
}

#[test]
fn a_commit_after_scaling_repeats_the_old_epoch_for_it_and_then_the_new_one() {
    let mut world = with_stream(1);
    let t = begun(&mut world);
    world.append(&a(), 3, Some(t));
    world.run(&scale(&[id(0, 0)], &[(0.0, 0.5), (0.5, 1.0)])).unwrap();
    world.append(&a(), 3, None);
    let effects = world.run(&commit(t)).unwrap();
    let segment = |epoch, number| SegmentName::new(a(), id(epoch, number));
    assert_eq!(
        effects,
        [
            SegmentEffect::Seal(segment(1, 1)),
            SegmentEffect::Seal(segment(1, 2)),
            SegmentEffect::Create(segment(2, 0)),
            SegmentEffect::Merge { from: segment(0, 0).within(t), into: segment(2, 0) },
            SegmentEffect::Seal(segment(2, 0)),
            SegmentEffect::Create(segment(3, 1)),
            SegmentEffect::Create(segment(3, 2)),
        ]
    );
    let stream = world.stream(&a());
    assert_eq!(stream.current_segments(), [id(3, 1), id(3, 2)]);
    assert_eq!(stream.successors(id(1, 1)), [id(2, 0)]);
    assert_eq!(stream.successors(id(2, 0)), [id(3, 1), id(3, 2)]);
    assert_eq!(stream.segment(id(3, 2)).unwrap().range, KeyRange { low: 0.5, high: 1.0 });
    let (read, written) = world.read(&a(), &stream.head(), 3);
    assert_eq!(read, [2, 1], "what the transaction wrote is behind what was written before its commit");
    assert_eq!(read, written);
}

#[test]
fn a_commit_in_a_repeated_epoch_needs_no_further_ones() {
    let mut world = with_stream(1);
    let old = begun(&mut world);
    world.run(&scale(&[id(0, 0)], &[(0.0, 0.5), (0.5, 1.0)])).unwrap();
    let new = begun(&mut world);
    world.run(&commit(old)).unwrap();
    let effects = world.run(&commit(new)).unwrap();
    let merge = |number| SegmentEffect::Merge {
        from: SegmentName::new(a(), id(1, number)).within(new),
        into: SegmentName::new(a(), id(3, number)),
    };
    assert_eq!(effects, [merge(1), merge(2)]);
    assert_eq!(world.stream(&a()).epochs().len(), 4);
}

#[test]
fn sealing_a_stream_aborts_its_open_transactions() {
    let mut world = with_stream(1);
    let t = begun(&mut world);
    let effects = world.run(&seal(&a())).unwrap();
    assert_eq!(effects[0], SegmentEffect::Delete(SegmentName::new(a(), id(0, 0)).within(t)));
    assert_eq!(state(&world, t), TransactionState::Aborted);
    assert!(matches!(world.run(&commit(t)), Err(Error::TransactionEnded { state: "aborted", .. })));
}

#[test]
fn a_transaction_is_begun_within_its_bounds() {
    let mut world = with_stream(1);
    let begin = |lease_millis, label: usize| StreamOp::Begin {
        stream: a(),
        lease_millis,
        label: "x".repeat(label),
        at: 0,
    };
    assert!(matches!(world.run(&begin(0, 0)), Err(Error::Invalid { .. })));
    assert!(matches!(world.run(&begin(MAX_LEASE_MILLIS + 1, 0)), Err(Error::Limit { .. })));
    assert!(matches!(world.run(&begin(1, MAX_LABEL + 1)), Err(Error::Limit { .. })));
    for _ in 0..MAX_OPEN_TRANSACTIONS {
        world.run(&begin(MAX_LEASE_MILLIS, MAX_LABEL)).unwrap();
    }
    assert!(matches!(world.run(&begin(1, 0)), Err(Error::Limit { given: 1_001, limit: 1_000, .. })));
}

#[test]
fn what_was_forgotten_is_unknown_and_never_called_committed() {
    struct Empty;
    impl Lengths for Empty {
        fn length(&self, _: &SegmentName) -> u64 {
            0
        }
        fn start(&self, _: &SegmentName) -> u64 {
            0
        }
    }
    let mut streams = with_stream(1).streams;
    let mut run = |op: &StreamOp| {
        streams.apply(op, &mut Vec::new(), &Empty).unwrap();
        streams.stream(&a()).unwrap().last_begun()
    };
    let open = run(&begin()).unwrap();
    let committed = run(&begin()).unwrap();
    run(&commit(committed));
    let mut aborted = Vec::new();
    for _ in 0..=MAX_ABORTED {
        let t = run(&begin()).unwrap();
        run(&abort(t));
        aborted.push(t);
    }
    let later = run(&begin()).unwrap();
    run(&commit(later));
    let stream = streams.stream(&a()).unwrap();
    assert_eq!(stream.transaction(open), TransactionState::Open);
    assert_eq!(stream.transaction(committed), TransactionState::Unknown);
    assert_eq!(stream.transaction(aborted[0]), TransactionState::Unknown);
    assert_eq!(stream.transaction(aborted[1]), TransactionState::Aborted);
    assert_eq!(stream.transaction(later), TransactionState::Committed);
    streams.apply(&abort(open), &mut Vec::new(), &Empty).unwrap();
    assert_eq!(streams.stream(&a()).unwrap().transaction(open), TransactionState::Unknown);
}
