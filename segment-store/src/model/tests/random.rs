//! Any operations in any order, right and wrong ones.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::world::{KEYS, position};
use super::*;
use crate::model::ranges::tile_all;

/// What to do, and choices among what there is at that time.
type Act = (u8, u8, [Index; 3]);

fn acts() -> impl Strategy<Value = Vec<Act>> {
    vec((0..24_u8, any::<u8>(), any::<[Index; 3]>()), 1..80)
}

/// Goes ahead in a cut as readers do: a segment is left for its successors together with all others that they follow.
fn go_ahead(stream: &Stream, mut at: StreamCut, steps: &[Index], world: &World) -> StreamCut {
    for step in steps {
        let chosen = step.index(at.0.len());
        let (&id, offset) = at.0.iter_mut().nth(chosen).unwrap();
        let left = stream.tail_of(id, world) - *offset;
        if stream.successors(id).is_empty() || step.index(3) == 0 {
            *offset += step.index(left as usize + 1) as u64;
            continue;
        }
        let mut from = BTreeSet::from([id]);
        let into = loop {
            let into: BTreeSet<_> = from.iter().flat_map(|&id| stream.successors(id)).collect();
            let all: BTreeSet<_> = into.iter().flat_map(|&id| stream.predecessors(id)).collect();
            if all == from {
                break into;
            }
            from = all;
        };
        if from.iter().all(|id| at.0.contains_key(id)) {
            at.0.retain(|id, _| !from.contains(id));
            at.0.extend(into.into_iter().map(|id| (id, 0)));
        }
    }
    at
}

impl Stream {
    fn tail_of(&self, id: SegmentId, world: &World) -> u64 {
        world.lengths().length(&self.segment_name(id))
    }
}

fn a_scale(stream: &Stream, how: u8, choices: &[Index; 3]) -> (Vec<SegmentId>, Vec<KeyRange>) {
    let current = stream.current_segments();
    let first = choices[0].index(current.len());
    let end = (first + 1 + usize::from(how % 3)).min(current.len());
    let sealed = current[first..end].to_vec();
    let range = |id: &SegmentId| stream.segment(*id).unwrap().range;
    let keys = KeyRange { low: range(&sealed[0]).low, high: range(sealed.last().unwrap()).high };
    let pieces = 1 + choices[1].index(4) as u32;
    let at = |bound: f64| keys.low + (keys.high - keys.low) * bound;
    let mut ranges: Vec<KeyRange> = KeyRange::even(pieces)
        .iter()
        .map(|part| KeyRange { low: at(part.low), high: at(part.high) })
        .collect();
    ranges[0].low = keys.low;
    ranges[pieces as usize - 1].high = keys.high;
    match how {
        0..6 => drop(ranges.pop()),
        6..12 => ranges[0].high = 1.0,
        _ => {}
    }
    (sealed, ranges)
}

fn op(world: &World, (kind, how, choices): &Act) -> StreamOp {
    let stream = name(if how % 4 == 0 { "s/b" } else { "s/a" });
    let at = i64::from(*how);
    let Ok(s) = world.streams.stream(&stream) else {
        let segments = choices[0].index(5) as u32;
        return StreamOp::CreateStream { stream, segments, nonce: choices[1].index(usize::MAX) as u64, at };
    };
    let begun: Vec<TransactionId> =
        world.begun.iter().filter(|((of, _), _)| *of == stream).map(|((_, id), _)| *id).collect();
    let one = || match begun.len() {
        0 => TransactionId(u128::from(*how)),
        n => begun[choices[0].index(n)],
    };
    let somewhere = || go_ahead(s, s.head(), &choices.repeat(2), world);
    let writer = WriterId(choices[0].index(3) as u128);
    match kind {
        0 if *how < 64 => StreamOp::SealStream { stream, at },
        1 if *how < 96 => StreamOp::DeleteStream { stream },
        2 => StreamOp::DeleteScope { scope: "s".into() },
        3 => StreamOp::CreateStream { stream, segments: 1, nonce: 1, at },
        4 | 5 => StreamOp::Truncate { stream, cut: somewhere() },
        6 if *how < 128 => {
            StreamOp::Truncate { stream, cut: [(s.segment_for(0.3), 1)].into_iter().collect() }
        }
        6..=9 => {
            let (seal, ranges) = a_scale(s, *how, choices);
            StreamOp::Scale { stream, seal, ranges, at }
        }
        10..=13 => StreamOp::Begin { stream, lease_millis: u64::from(*how), label: String::new(), at },
        14..=17 => StreamOp::Commit { stream, id: one(), at },
        18 => StreamOp::Abort { stream, id: one(), at },
        19 => StreamOp::ForgetWriter { stream, writer },
        _ => StreamOp::NoteTime { stream, writer, millis: at, cut: somewhere() },
    }
}

fn append(world: &mut World, (_, how, choices): &Act) {
    for stream in [name("s/a"), name("s/b")] {
        let Ok(s) = world.streams.stream(&stream) else { continue };
        let open: Vec<_> = s.open_transactions().map(|(id, _)| id).collect();
        let is_sealed = s.is_sealed();
        for (n, choice) in choices.iter().enumerate() {
            let key = choice.index(KEYS.into()) as u8;
            match open.len() {
                _ if is_sealed => {}
                0 => world.append(&stream, key, None),
                _ if how >> n & 1 == 0 => world.append(&stream, key, None),
                n => world.append(&stream, key, Some(open[choice.index(n)])),
            }
        }
    }
}

fn assert_holds(world: &World, stream: &Stream) {
    for epoch in stream.epochs() {
        assert!(tile_all(epoch.segments.iter().map(|id| stream.segment(*id).unwrap().range)));
        let lows: Vec<f64> = epoch.segments.iter().map(|id| stream.segment(*id).unwrap().range.low).collect();
        assert!(lows.is_sorted());
    }
    let (head, tail) = (stream.head(), stream.tail(world.lengths()));
    stream.check_cut(&head, world.lengths()).unwrap();
    stream.check_cut(&tail, world.lengths()).unwrap();
    assert!(stream.is_at_or_behind(&tail, &head));
    for (id, record) in stream.segments() {
        assert!(
            stream.successors(id).iter().all(|next| *next > id && stream.predecessors(*next).contains(&id))
        );
        assert!(
            stream.predecessors(id).iter().all(|last| *last < id && stream.successors(*last).contains(&id))
        );
        let is_current = stream.current_segments().contains(&id);
        assert_eq!(stream.successors(id).is_empty(), is_current);
        assert_eq!(record.sealed_at.is_some(), !is_current || stream.is_sealed());
        let name = stream.segment_name(id);
        assert_eq!(world.is_sealed(&name), record.sealed_at.is_some());
        let is_before =
            head.offset(id).is_none() && !stream.segments_between(&head, None).iter().any(|s| s.0 == id);
        assert_eq!(world.is_dropped(&name), is_before, "{id}");
    }
    for (last, next) in stream.marks().iter().zip(stream.marks().iter().skip(1)) {
        assert!(last.millis < next.millis && stream.is_at_or_behind(&next.cut, &last.cut));
    }
    for key in 0..KEYS {
        let covering = stream.ancestors_covering(position(key));
        let current = stream.segment_for(position(key));
        assert_eq!(covering.last(), Some(&current));
        for (last, next) in covering.iter().zip(&covering[1..]) {
            assert!(stream.successors(*last).contains(next));
        }
        // Events of a key are read in the order in which they were written or committed, from the head on.
        let (read, written) = world.read(stream.name(), &head, key);
        assert!(written.ends_with(&read), "{read:?} of {written:?}");
        if head.iter().all(|(id, offset)| id.epoch() == 0 && offset == 0) {
            assert_eq!(read, written);
        }
    }
}

proptest! {
    #[test]
    fn any_operations_keep_the_streams_sound(acts in acts()) {
        let mut world = with_stream(3);
        for act in &acts {
            append(&mut world, act);
            let _refused = world.run(&op(&world, act));
            let mut segments = 0;
            for name in world.streams.streams("s") {
                let stream = world.stream(&name);
                assert_holds(&world, stream);
                let of_transactions = stream.open_transactions().map(|(_, open)| open.segments.len());
                segments += stream.segments().count() + of_transactions.sum::<usize>();
            }
            prop_assert_eq!(world.segments(), segments);
            for ((stream, id), state) in &world.begun {
                prop_assert_eq!(world.stream(stream).transaction(*id), *state);
            }
        }
        let bytes = postcard::to_allocvec(&world.streams).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Streams>(&bytes).unwrap(), world.streams);
    }

    #[test]
    fn an_upper_bound_is_the_first_cut_behind_all(
        acts in acts(), ways in vec(vec(any::<Index>(), 0..40), 1..4)
    ) {
        let mut world = with_stream(3);
        for act in acts.iter().filter(|(kind, ..)| *kind >= 6) {
            append(&mut world, act);
            let _refused = world.run(&op(&world, act));
        }
        let stream = world.stream(&a());
        let cuts: Vec<StreamCut> =
            ways.iter().map(|way| go_ahead(stream, stream.head(), way, &world)).collect();
        let bound = stream.upper_bound(&cuts);
        stream.check_cut(&bound, world.lengths()).unwrap();
        for cut in &cuts {
            stream.check_cut(cut, world.lengths()).unwrap();
            prop_assert!(stream.is_at_or_behind(&bound, cut));
        }
        let behind_all = |cut: &&StreamCut| cuts.iter().all(|other| stream.is_at_or_behind(cut, other));
        if let Some(last) = cuts.iter().find(behind_all) {
            prop_assert_eq!(&bound, last);
        }
        // Whatever else is behind all of them is behind the bound.
        prop_assert!(stream.is_at_or_behind(&stream.tail(world.lengths()), &bound));
        let further = stream.upper_bound(cuts.iter().chain([&go_ahead(stream, stream.head(), &ways.concat(), &world)]));
        prop_assert!(stream.is_at_or_behind(&further, &bound));
    }
}
