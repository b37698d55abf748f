//! Rules of the sweep, one by one.

use std::path::Path;

use bytes::Bytes;
use connector_api::Stored;
use connector_api::id::{AttemptId, RunId};
use connector_api::sink::{References, SweepOrphans};

use super::{DIR, RUN, config, context, named, simulated};
use crate::sink::committable::{FileCommittable, StagedFile, WriterState};
use crate::sink::compaction::{CompactorState, CoordinatorState};
use crate::sink::naming::{self, Uid};
use crate::sink::sweep::FileSweep;

#[test]
fn the_sweep_removes_only_what_dead_attempts_of_this_run_left_and_nothing_needs() {
    simulated(|fs, env| async move {
        let uid = |run, number| Uid { attempt: AttemptId { run: RunId(run), number }, subtask: 0 };
        let names = &config(1, None, true).names;
        let mine = |number, counter| names.part(uid(RUN.0, number), counter);
        let needed: Vec<_> = (0..6).map(|counter| named(mine(1, counter), 1)).collect();
        let keep = [
            mine(1, 100),
            "_SUCCESS".into(),
            ".hidden".into(),
            naming::hidden("part-x"),
            naming::hidden(&names.part(uid(1, 1), 0)),
            naming::hidden(&mine(4, 0)),
            naming::hidden(&mine(5, 0)),
            naming::compacting(&mine(1, 0), uid(RUN.0, 4)),
            format!("{}x", naming::hidden(&mine(1, 50))),
        ];
        let orphans = [
            naming::hidden(&mine(1, 50)),
            naming::hidden(&mine(3, 0)),
            naming::compacting(&mine(1, 0), uid(RUN.0, 3)),
        ];
        for name in keep
            .iter()
            .chain(&orphans)
            .map(String::as_str)
            .chain(needed.iter().filter_map(StagedFile::hidden))
        {
            fs.put(Path::new(DIR).join(name), b"x").unwrap();
        }
        let with_input =
            StagedFile { inputs: vec![needed[1].hidden().unwrap().to_owned()], ..needed[0].clone() };
        let state = WriterState {
            staged: needed[2].hidden().unwrap().to_owned(),
            name: String::new(),
            length: 1,
            rows: 0,
            created_at: 0,
        };
        let stored: Vec<Bytes> = vec![
            FileCommittable::File(with_input).to_bytes().unwrap(),
            state.to_bytes().unwrap(),
            CoordinatorState { checkpoints: 1, held: needed[3..5].to_vec() }.to_bytes().unwrap(),
            CompactorState { checkpoint: 1, inputs: vec![needed[5].clone()] }.to_bytes().unwrap(),
        ];
        let sweep = FileSweep { config: config(1, None, true) };
        let context = context(&env, 4, 0, 1);
        let swept = sweep.sweep(context.clone(), References::new(stored)).await.unwrap();
        assert_eq!(swept, orphans.len() as u64);
        for name in keep.iter().map(String::as_str).chain(needed.iter().filter_map(StagedFile::hidden)) {
            assert!(fs.content(Path::new(DIR).join(name)).is_ok(), "{name} was swept");
        }
        let damaged = References::new(vec![Bytes::from_static(b"damaged")]);
        assert!(sweep.sweep(context, damaged).await.is_err());
    });
}

#[test]
fn a_sweep_before_the_first_file_finds_nothing() {
    simulated(|_, env| async move {
        let sweep = FileSweep { config: config(1, None, true) };
        assert_eq!(sweep.sweep(context(&env, 1, 0, 1), References::default()).await.unwrap(), 0);
    });
}
