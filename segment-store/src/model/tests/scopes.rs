use super::*;

#[test]
fn a_scope_is_made_once_and_removed_when_it_is_empty() {
    let mut world = World::default();
    let (make, remove) =
        (StreamOp::CreateScope { scope: "s".into() }, StreamOp::DeleteScope { scope: "s".into() });
    assert!(matches!(world.run(&remove), Err(Error::NoScope(_))));
    world.run(&make).unwrap();
    assert!(matches!(world.run(&make), Err(Error::Exists(_))));
    world.run(&create(&a(), 1)).unwrap();
    assert!(matches!(world.run(&remove), Err(Error::ScopeNotEmpty { streams: 2, .. })));
    world.run(&seal(&a())).unwrap();
    world.run(&StreamOp::DeleteStream { stream: a() }).unwrap();
    world.run(&remove).unwrap();
    assert_eq!(world.streams, Streams::default());
}

#[test]
fn names_that_are_none_are_refused() {
    let mut world = with_stream(1);
    assert!(matches!(world.run(&StreamOp::CreateScope { scope: "a b".into() }), Err(Error::Invalid { .. })));
    let stream = StreamName { scope: "s".into(), stream: "".into() };
    assert!(matches!(world.run(&create(&stream, 1)), Err(Error::Invalid { .. })));
}

#[test]
fn a_stream_comes_and_goes_with_that_of_its_marks() {
    let mut world = with_stream(2);
    let names: Vec<String> = world.streams.streams("s").map(|name| name.to_string()).collect();
    assert_eq!(names, ["s/_MARKa", "s/a"]);
    assert_eq!(world.segments(), 3);
    assert_eq!(world.stream(&a().marks()).current_segments(), [id(0, 0)]);
    let remove = StreamOp::DeleteStream { stream: a() };
    assert!(matches!(world.run(&remove), Err(Error::StreamNotSealed(_))));
    world.run(&seal(&a())).unwrap();
    world.run(&remove).unwrap();
    assert_eq!(world.segments(), 0);
    assert!(matches!(world.streams.stream(&a()), Err(Error::NoStream(_))));
    assert!(matches!(world.streams.stream(&name("t/a")), Err(Error::NoScope(_))));
}

#[test]
fn a_stream_that_the_system_makes_has_no_marks() {
    let mut world = with_stream(1);
    world.run(&create(&name("s/_RGg"), 1)).unwrap();
    assert_eq!(world.streams.streams("s").count(), 3);
    world.run(&seal(&name("s/_RGg"))).unwrap();
    world.run(&StreamOp::DeleteStream { stream: name("s/_RGg") }).unwrap();
    assert_eq!(world.streams.streams("s").count(), 2);
}

#[test]
fn a_stream_is_not_made_where_it_or_its_marks_are() {
    let mut world = with_stream(1);
    assert!(matches!(world.run(&create(&a(), 1)), Err(Error::Exists(name)) if name == "s/a"));
    world.run(&create(&name("s/_MARKb"), 1)).unwrap();
    assert!(matches!(world.run(&create(&name("s/b"), 1)), Err(Error::Exists(name)) if name == "s/_MARKb"));
    assert!(matches!(world.run(&create(&name("t/b"), 1)), Err(Error::NoScope(_))));
}

#[test]
fn a_stream_is_removed_with_what_is_left_open_in_that_of_its_marks() {
    let mut world = with_stream(1);
    let begin = StreamOp::Begin { stream: a().marks(), lease_millis: 1, label: String::new(), at: 0 };
    world.run(&begin).unwrap();
    world.run(&seal(&a())).unwrap();
    world.run(&StreamOp::DeleteStream { stream: a() }).unwrap();
    assert_eq!(world.segments(), 0);
}

#[test]
fn a_stream_has_segments_and_not_too_many() {
    let mut world = with_stream(1);
    assert!(matches!(world.run(&create(&name("s/b"), 0)), Err(Error::Invalid { .. })));
    assert!(matches!(world.run(&create(&name("s/b"), MAX_SEGMENTS + 1)), Err(Error::Limit { .. })));
    world.run(&create(&name("s/b"), MAX_SEGMENTS)).unwrap();
}

#[test]
fn a_sealed_stream_takes_nothing_more() {
    let mut world = with_stream(2);
    world.run(&seal(&a())).unwrap();
    let stream = world.stream(&a());
    assert!(stream.is_sealed());
    assert_eq!(stream.current_segments(), [id(0, 0), id(0, 1)]);
    assert_eq!(stream.segment(id(0, 0)).unwrap().sealed_at, Some(9));
    assert_eq!(stream.successors(id(0, 0)), []);
    for op in [seal(&a()), scale(&[id(0, 0)], &[(0.0, 0.5)]), begin()] {
        assert!(matches!(world.run(&op), Err(Error::StreamSealed(_))), "{op:?}");
    }
}
