//! The log: the scanner, frames, records and what they make of the state. The first byte says whether checksums are made right.
#![no_main]

#[path = "../../tests/support/allocations.rs"]
mod allocations;

use libfuzzer_sys::fuzz_target;
use segment_store::fuzzing;

#[global_allocator]
static COUNTING: allocations::Counting = allocations::Counting;

fuzz_target!(|input: &[u8]| {
    let Some((first, bytes)) = input.split_first() else { return };
    let deep = first & 1 == 1;
    allocations::bounded(bytes.len() + 4096, || fuzzing::frames(bytes, deep));
    fuzzing::replay(bytes, deep);
});
