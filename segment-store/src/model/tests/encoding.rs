//! What is stored is read by every later build.

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_encoding_of_operations_is_frozen() {
    let stream = a();
    let t = TransactionId::new(1, 2, 3);
    let at = 300;
    let operations = [
        (StreamOp::CreateScope { scope: "s".into() }, "000173"),
        (StreamOp::DeleteScope { scope: "s".into() }, "010173"),
        (
            StreamOp::CreateStream { stream: stream.clone(), segments: 2, nonce: 1 << 40, at },
            "020173016102808080808020d804",
        ),
        (StreamOp::SealStream { stream: stream.clone(), at }, "0301730161d804"),
        (StreamOp::DeleteStream { stream: stream.clone() }, "0401730161"),
        (
            StreamOp::Truncate { stream: stream.clone(), cut: cut("0.#epoch.0:200,1.#epoch.1:7") },
            "05017301610200c801818080801007",
        ),
        (
            scale(&[id(0, 1)], &[(0.5, 0.75), (0.75, 1.0)]),
            "0601730161010102000000000000e03f000000000000e83f000000000000e83f000000000000f03f0a",
        ),
        (
            StreamOp::Begin { stream: stream.clone(), lease_millis: 1_000, label: "label".to_owned(), at },
            "0701730161e807056c6162656cd804",
        ),
        (
            StreamOp::Commit { stream: stream.clone(), id: t, at },
            "08017301618380808080808080808480808020d804",
        ),
        (
            StreamOp::Abort { stream: stream.clone(), id: t, at: -1 },
            "0901730161838080808080808080848080802001",
        ),
        (note(5, -1, "0.#epoch.0:1"), "0a017301610501010001"),
        (
            StreamOp::ForgetWriter { stream, writer: WriterId(u128::MAX) },
            "0b01730161ffffffffffffffffffffffffffffffffffff03",
        ),
    ];
    for (op, frozen) in operations {
        let bytes = postcard::to_allocvec(&op).unwrap();
        assert_eq!(hex(&bytes), frozen, "{op:?}");
        assert_eq!(postcard::from_bytes::<StreamOp>(&bytes).unwrap(), op);
    }
}

#[test]
fn a_state_is_read_back_as_it_was() {
    let mut world = with_stream(2);
    world.run(&begin()).unwrap();
    world.run(&begin()).unwrap();
    let t = world.stream(&a()).last_begun().unwrap();
    world.run(&scale(&[id(0, 1)], &[(0.5, 0.7), (0.7, 1.0)])).unwrap();
    world.run(&note(1, 4, "0.#epoch.0:0,1.#epoch.0:0")).unwrap();
    world.run(&commit(t)).unwrap();
    let bytes = postcard::to_allocvec(&world.streams).unwrap();
    assert_eq!(postcard::from_bytes::<Streams>(&bytes).unwrap(), world.streams);
}
