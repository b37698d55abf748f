use super::*;

fn marks(world: &World) -> Vec<(i64, String)> {
    world.stream(&a()).marks().iter().map(|mark| (mark.millis, mark.cut.to_string())).collect()
}

fn with_events() -> World {
    let mut world = with_stream(1);
    (0..16).for_each(|key| world.append(&a(), key, None));
    world
}

fn forget(writer: u128) -> StreamOp {
    StreamOp::ForgetWriter { stream: a(), writer: WriterId(writer) }
}

#[test]
fn a_mark_has_the_least_time_and_lies_behind_all_writers() {
    let mut world = with_events();
    world.run(&note(1, 10, "0.#epoch.0:5")).unwrap();
    assert_eq!(marks(&world), [(10, "0.#epoch.0:5".to_owned())]);
    world.run(&note(2, 7, "0.#epoch.0:9")).unwrap();
    world.run(&note(1, 30, "0.#epoch.0:6")).unwrap();
    assert_eq!(marks(&world).len(), 1, "the slower writer holds it back");
    world.run(&note(2, 20, "0.#epoch.0:8")).unwrap();
    assert_eq!(marks(&world)[1..], [(20, "0.#epoch.0:8".to_owned())]);
    let times: Vec<_> = world.stream(&a()).time_writers().collect();
    assert_eq!(times, [(WriterId(1), 30), (WriterId(2), 20)]);
}

#[test]
fn forgetting_the_slowest_writer_raises_the_mark_behind_what_it_wrote() {
    let mut world = with_events();
    world.run(&note(2, 7, "0.#epoch.0:9")).unwrap();
    world.run(&note(1, 30, "0.#epoch.0:6")).unwrap();
    world.run(&forget(2)).unwrap();
    assert_eq!(marks(&world)[1..], [(30, "0.#epoch.0:9".to_owned())]);
    world.run(&forget(2)).unwrap();
    world.run(&forget(1)).unwrap();
    assert_eq!(marks(&world).len(), 2);
}

#[test]
fn a_mark_lies_behind_what_a_writer_wrote_that_was_forgotten_before() {
    let mut world = with_events();
    world.run(&note(1, 10, "0.#epoch.0:2")).unwrap();
    world.run(&note(2, 15, "0.#epoch.0:9")).unwrap();
    world.run(&forget(2)).unwrap();
    world.run(&note(1, 30, "0.#epoch.0:4")).unwrap();
    assert_eq!(marks(&world)[1..], [(30, "0.#epoch.0:9".to_owned())], "at 4 there may be events of 15");
}

#[test]
fn the_time_of_a_writer_does_not_go_back_and_its_cut_is_one() {
    let mut world = with_events();
    world.run(&note(1, 10, "0.#epoch.0:2")).unwrap();
    world.run(&note(1, 10, "0.#epoch.0:3")).unwrap();
    assert!(matches!(world.run(&note(1, 9, "0.#epoch.0:4")), Err(Error::Invalid { .. })));
    assert!(matches!(world.run(&note(1, 11, "0.#epoch.0:17")), Err(Error::BeyondEnd { .. })));
    assert!(matches!(world.run(&note(1, 11, "1.#epoch.0:0")), Err(Error::NoSegment(_))));
    world.run(&truncate("0.#epoch.0:8")).unwrap();
    world.run(&note(1, 11, "0.#epoch.0:5")).unwrap();
    assert_eq!(marks(&world)[1..], [(11, "0.#epoch.0:5".to_owned())]);
}

#[test]
fn of_the_marks_before_the_head_the_newest_stays() {
    let mut world = with_events();
    for at in 1..6 {
        world.run(&note(1, at, &format!("0.#epoch.0:{at}"))).unwrap();
    }
    world.run(&truncate("0.#epoch.0:3")).unwrap();
    assert_eq!(world.stream(&a()).marks()[0], Mark { millis: 3, cut: cut("0.#epoch.0:3") });
    world.run(&truncate("0.#epoch.0:9")).unwrap();
    assert_eq!(world.stream(&a()).marks()[0], Mark { millis: 5, cut: cut("0.#epoch.0:5") });
}

#[test]
fn the_oldest_marks_go_when_there_are_too_many() {
    let mut world = with_events();
    for millis in 0..=MAX_MARKS as i64 {
        world.run(&note(1, millis, "0.#epoch.0:1")).unwrap();
    }
    let marks = world.stream(&a()).marks();
    assert_eq!((marks.len(), marks[0].millis), (MAX_MARKS, 1));
}

#[test]
fn not_too_many_writers_note_times() {
    let mut world = with_events();
    for writer in 0..MAX_TIME_WRITERS as u128 {
        world.run(&note(writer, 1, "0.#epoch.0:1")).unwrap();
    }
    let refused = world.run(&note(u128::MAX, 1, "0.#epoch.0:1"));
    assert!(matches!(refused, Err(Error::Limit { given: 10_001, .. })));
    world.run(&note(0, 2, "0.#epoch.0:1")).unwrap();
}

#[test]
fn the_upper_bound_of_cuts_goes_on_to_successors_where_a_segment_is_passed() {
    // [0, 0.5) and [0.5, 1), joined, and split again.
    let mut world = with_stream(2);
    world.run(&scale(&[id(0, 0), id(0, 1)], &[(0.0, 1.0)])).unwrap();
    world.run(&scale(&[id(1, 2)], &[(0.0, 0.5), (0.5, 1.0)])).unwrap();
    let bound = |cuts: &[&str]| {
        let cuts: Vec<StreamCut> = cuts.iter().map(|text| cut(text)).collect();
        world.stream(&a()).upper_bound(&cuts).to_string()
    };
    assert_eq!(bound(&[]), "");
    assert_eq!(
        bound(&["0.#epoch.0:3,1.#epoch.0:1", "0.#epoch.0:2,1.#epoch.0:4"]),
        "0.#epoch.0:3,1.#epoch.0:4"
    );
    assert_eq!(bound(&["0.#epoch.0:3,1.#epoch.0:1", "2.#epoch.1:1"]), "2.#epoch.1:1");
    assert_eq!(bound(&["3.#epoch.2:1,1.#epoch.0:1", "2.#epoch.1:1"]), "3.#epoch.2:1,4.#epoch.2:0");
    assert_eq!(bound(&["3.#epoch.2:1,4.#epoch.2:2", "2.#epoch.1:9"]), "3.#epoch.2:1,4.#epoch.2:2");
}
