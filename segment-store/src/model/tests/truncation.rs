use super::*;
use crate::id::SegmentName;

fn append(world: &mut World, events: u8) {
    (0..events).for_each(|n| world.append(&a(), n % world::KEYS, None));
}

#[test]
fn a_cut_goes_through_one_segment_for_each_key_and_within_its_data() {
    let mut world = with_stream(2);
    append(&mut world, 16);
    world.run(&scale(&[id(0, 0)], &[(0.0, 0.25), (0.25, 0.5)])).unwrap();
    world.run(&truncate("0.#epoch.0:2,1.#epoch.0:0")).unwrap();
    let check = |text| world.stream(&a()).check_cut(&cut(text), world.lengths());
    check("0.#epoch.0:8,1.#epoch.0:8").unwrap();
    check("2.#epoch.1:0,3.#epoch.1:0,1.#epoch.0:0").unwrap();
    assert!(matches!(check("0.#epoch.0:1,1.#epoch.0:0"), Err(Error::Truncated { start: 2, .. })));
    assert!(matches!(check("0.#epoch.0:2,1.#epoch.0:9"), Err(Error::BeyondEnd { length: 8, .. })));
    assert!(matches!(check("0.#epoch.0:2"), Err(Error::Invalid { .. })));
    assert!(matches!(check("0.#epoch.0:2,2.#epoch.1:0,1.#epoch.0:0"), Err(Error::Invalid { .. })));
    assert!(matches!(check("0.#epoch.0:2,9.#epoch.9:0"), Err(Error::NoSegment(_))));
    let none = world.stream(&a()).check_cut(&StreamCut::default(), world.lengths());
    assert!(matches!(none, Err(Error::Invalid { .. })));
}

#[test]
fn what_lies_wholly_before_the_head_is_dropped_once() {
    let mut world = with_stream(2);
    append(&mut world, 16);
    world.run(&scale(&[id(0, 0)], &[(0.0, 0.25), (0.25, 0.5)])).unwrap();
    append(&mut world, 16);
    let names = |id| SegmentName::new(a(), id);
    let first = world.run(&truncate("0.#epoch.0:8,1.#epoch.0:3")).unwrap();
    assert_eq!(
        first,
        [
            SegmentEffect::Truncate { segment: names(id(0, 0)), offset: 8 },
            SegmentEffect::Truncate { segment: names(id(0, 1)), offset: 3 }
        ]
    );
    let second = world.run(&truncate("2.#epoch.1:1,3.#epoch.1:0,1.#epoch.0:3")).unwrap();
    assert_eq!(
        second,
        [
            SegmentEffect::Truncate { segment: names(id(1, 2)), offset: 1 },
            SegmentEffect::Drop(names(id(0, 0)))
        ]
    );
    assert_eq!(world.run(&truncate("2.#epoch.1:1,3.#epoch.1:0,1.#epoch.0:3")).unwrap(), []);
    let stream = world.stream(&a());
    assert_eq!(stream.head(), cut("2.#epoch.1:1,3.#epoch.1:0,1.#epoch.0:3"));
    assert_eq!(stream.ancestors_covering(0.1), [id(0, 0), id(1, 2)], "what is dropped stays known");
}

/// No reader comes to such a cut, but it has one segment for each key.
#[test]
fn what_lies_before_the_head_with_a_part_of_its_keys_is_kept() {
    let mut world = with_stream(2);
    world.run(&scale(&[id(0, 0), id(0, 1)], &[(0.0, 1.0)])).unwrap();
    world.run(&scale(&[id(1, 2)], &[(0.0, 0.5), (0.5, 1.0)])).unwrap();
    let effects = world.run(&truncate("3.#epoch.2:0,1.#epoch.0:0")).unwrap();
    assert_eq!(effects, [SegmentEffect::Drop(SegmentName::new(a(), id(0, 0)))]);
    let between = world.stream(&a()).segments_between(&cut("3.#epoch.2:0,1.#epoch.0:0"), None);
    let left: Vec<_> = between.into_iter().map(|(id, ..)| id).collect();
    assert_eq!(left, [id(0, 1), id(1, 2), id(2, 3), id(2, 4)]);
    let until = world
        .stream(&a())
        .segments_between(&cut("0.#epoch.0:0,1.#epoch.0:0"), Some(&cut("3.#epoch.2:0,1.#epoch.0:0")));
    let until: Vec<_> = until.into_iter().map(|(id, _, end)| (id, end)).collect();
    assert_eq!(until, [(id(0, 0), None), (id(0, 1), Some(0)), (id(1, 2), None), (id(2, 3), Some(0))]);
}

#[test]
fn the_head_does_not_go_back() {
    let mut world = with_stream(2);
    append(&mut world, 16);
    world.run(&truncate("0.#epoch.0:2,1.#epoch.0:2")).unwrap();
    world.run(&scale(&[id(0, 0), id(0, 1)], &[(0.0, 1.0)])).unwrap();
    for back in ["0.#epoch.0:1,1.#epoch.0:8", "0.#epoch.0:8,1.#epoch.0:1"] {
        let refused = world.run(&truncate(back)).unwrap_err();
        assert!(refused.to_string().contains("before the head"), "{refused}");
    }
    world.run(&truncate("2.#epoch.1:0")).unwrap();
    let refused = world.run(&truncate("0.#epoch.0:8,1.#epoch.0:8")).unwrap_err();
    assert!(refused.to_string().contains("before the head"), "{refused}");
}

#[test]
fn a_sealed_stream_is_truncated_to_its_end() {
    let mut world = with_stream(1);
    append(&mut world, 4);
    world.run(&seal(&a())).unwrap();
    assert_eq!(world.run(&truncate("0.#epoch.0:4")).unwrap().len(), 1);
}

#[test]
fn between_two_cuts_lies_what_is_behind_one_and_before_the_other() {
    let mut world = with_stream(2);
    append(&mut world, 16);
    world.run(&scale(&[id(0, 0)], &[(0.0, 0.25), (0.25, 0.5)])).unwrap();
    append(&mut world, 16);
    world.run(&scale(&[id(1, 2), id(1, 3)], &[(0.0, 0.5)])).unwrap();
    let stream = world.stream(&a());
    let (from, to) = (cut("0.#epoch.0:5,1.#epoch.0:1"), cut("2.#epoch.1:4,3.#epoch.1:2,1.#epoch.0:9"));
    assert_eq!(
        stream.segments_between(&from, Some(&to)),
        [(id(0, 0), 5, None), (id(0, 1), 1, Some(9)), (id(1, 2), 0, Some(4)), (id(1, 3), 0, Some(2))]
    );
    assert_eq!(
        stream.segments_between(&to, None),
        [(id(0, 1), 9, None), (id(1, 2), 4, None), (id(1, 3), 2, None), (id(2, 4), 0, None)]
    );
    assert_eq!(stream.segments_between(&to, Some(&from)), []);
    assert!(stream.is_at_or_behind(&to, &from) && !stream.is_at_or_behind(&from, &to));
    assert!(stream.is_at_or_behind(&to, &to));
}
