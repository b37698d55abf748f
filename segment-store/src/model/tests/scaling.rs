use super::*;

#[test]
fn a_scaled_stream_goes_on_with_the_new_segments_and_those_that_stay() {
    let mut world = with_stream(2);
    let effects = world.run(&scale(&[id(0, 0)], &[(0.25, 0.5), (0.0, 0.25)])).unwrap();
    let names = |id| world.stream(&a()).segment_name(id);
    assert_eq!(
        effects,
        [
            SegmentEffect::Seal(names(id(0, 0))),
            SegmentEffect::Create(names(id(1, 2))),
            SegmentEffect::Create(names(id(1, 3)))
        ]
    );
    let stream = world.stream(&a());
    assert_eq!(stream.epochs()[1], Epoch { number: 1, at: 5, segments: vec![id(1, 2), id(1, 3), id(0, 1)] });
    assert_eq!(stream.current_segments(), [id(1, 2), id(1, 3), id(0, 1)]);
    let sealed = stream.segment(id(0, 0)).unwrap();
    assert_eq!((sealed.made_at, sealed.sealed_at, sealed.sealed_in), (0, Some(5), Some(1)));
    assert_eq!(stream.successors(id(0, 0)), [id(1, 2), id(1, 3)]);
    assert_eq!(stream.predecessors(id(1, 3)), [id(0, 0)]);
    assert_eq!(stream.successors(id(0, 1)), []);
    assert_eq!(stream.predecessors(id(0, 1)), []);
}

#[test]
fn a_key_is_found_in_the_newest_segment_and_in_all_before() {
    let mut world = with_stream(2);
    world.run(&scale(&[id(0, 0), id(0, 1)], &[(0.0, 1.0)])).unwrap();
    world.run(&scale(&[id(1, 2)], &[(0.0, 0.25), (0.25, 1.0)])).unwrap();
    let stream = world.stream(&a());
    assert_eq!(stream.segment_for(0.0), id(2, 3));
    assert_eq!(stream.segment_for(0.25), id(2, 4));
    assert_eq!(stream.segment_for(0.999), id(2, 4));
    assert_eq!(stream.ancestors_covering(0.3), [id(0, 0), id(1, 2), id(2, 4)]);
    assert_eq!(stream.predecessors(id(1, 2)), [id(0, 0), id(0, 1)]);
}

#[test]
fn the_new_ranges_hold_exactly_the_keys_of_the_sealed_segments() {
    let mut world = with_stream(4);
    let two = [id(0, 0), id(0, 1)];
    for ranges in [
        &[][..],
        &[(0.0, 0.25)],
        &[(0.0, 0.75)],
        &[(0.0, 0.25), (0.3, 0.5)],
        &[(0.0, 0.3), (0.25, 0.5)],
        &[(0.0, f64::NAN)],
        &[(0.0, 0.5), (0.5, 0.5)],
        &[(-0.5, 0.5)],
    ] {
        assert!(matches!(world.run(&scale(&two, ranges)), Err(Error::Invalid { .. })), "{ranges:?}");
    }
    world.run(&scale(&two, &[(-0.0, 0.1), (0.1, 0.5)])).unwrap();
    let first = world.stream(&a()).segment(id(1, 4)).unwrap();
    assert_eq!(first.range.low.to_bits(), 0, "zero below zero is zero");
}

#[test]
fn segments_that_do_not_touch_are_replaced_in_one_step() {
    let mut world = with_stream(3);
    let third = 1.0 / 3.0;
    let op = scale(&[id(0, 2), id(0, 0)], &[(2.0 * third, 1.0), (0.0, 0.1), (0.1, third)]);
    world.run(&op).unwrap();
    assert_eq!(world.stream(&a()).current_segments(), [id(1, 3), id(1, 4), id(0, 1), id(1, 5)]);
}

#[test]
fn only_current_segments_are_replaced_and_each_once() {
    let mut world = with_stream(2);
    let halves: &[(f64, f64)] = &[(0.0, 0.25), (0.25, 0.5)];
    assert!(matches!(world.run(&scale(&[], &[])), Err(Error::Invalid { .. })));
    assert!(matches!(world.run(&scale(&[id(0, 0), id(0, 0)], halves)), Err(Error::Invalid { .. })));
    assert!(matches!(world.run(&scale(&[id(3, 0)], halves)), Err(Error::Invalid { .. })));
    world.run(&scale(&[id(0, 0)], halves)).unwrap();
    assert!(matches!(world.run(&scale(&[id(0, 0)], halves)), Err(Error::Invalid { .. })));
}

#[test]
fn a_stream_is_not_scaled_above_the_bound() {
    let mut world = with_stream(MAX_SEGMENTS);
    let stream = world.stream(&a());
    let KeyRange { low, high } = stream.segment(id(0, 0)).unwrap().range;
    let op = scale(&[id(0, 0)], &[(low, high / 2.0), (high / 2.0, high)]);
    assert!(matches!(world.run(&op), Err(Error::Limit { given: 10_001, .. })));
}
