//! What survives what.

use std::io;
use std::path::Path;

use connector_api::env::{Access, FileSystem, Rename};

use super::{Fault, OpKind, PowerCut, Rule, SimFs};

fn write(fs: &SimFs, path: &str, content: &[u8]) -> io::Result<()> {
    fs.open(Path::new(path), Access::CreateOrTruncate)?.write_all_at(content, 0)
}

fn sync(fs: &SimFs, path: &str) -> io::Result<()> {
    fs.open(Path::new(path), Access::ReadWrite)?.sync_data()
}

fn sync_root(fs: &SimFs) {
    fs.sync_dir(Path::new("/")).unwrap();
}

#[test]
fn a_power_cut_drops_content_and_names_that_were_not_synced() {
    let fs = SimFs::new();
    write(&fs, "/neither", b"1").unwrap();
    write(&fs, "/content-only", b"2").unwrap();
    sync(&fs, "/content-only").unwrap();
    let after = fs.power_cut(PowerCut::SyncedOnly);
    assert!(after.files().is_empty());

    let fs = SimFs::new();
    write(&fs, "/name-only", b"1").unwrap();
    write(&fs, "/both", b"2").unwrap();
    sync(&fs, "/both").unwrap();
    sync_root(&fs);
    write(&fs, "/both", b"later").unwrap();
    let after = fs.power_cut(PowerCut::SyncedOnly);
    assert_eq!(after.content("/name-only").unwrap(), b"");
    assert_eq!(after.content("/both").unwrap(), b"2");
}

#[test]
fn a_crash_of_the_process_keeps_the_page_cache_and_ends_locks() {
    let fs = SimFs::new();
    write(&fs, "/a", b"1").unwrap();
    let lock = fs.lock(Path::new("/lock")).unwrap();
    assert_eq!(fs.lock(Path::new("/lock")).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let after = fs.process_crash();
    assert!(lock.set_content(b"x").is_err() && write(&fs, "/b", b"2").is_err());
    assert_eq!(after.content("/a").unwrap(), b"1");
    let again = after.lock(Path::new("/lock")).unwrap();
    drop(lock);
    assert!(after.lock(Path::new("/lock")).is_err());
    drop(again);
    // Still not durable.
    assert!(after.power_cut(PowerCut::SyncedOnly).files().is_empty());
}

#[test]
fn after_a_power_cut_a_replaced_name_is_the_old_or_the_new_file() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let fs = SimFs::new();
        fs.put("/a", b"old").unwrap();
        write(&fs, "/tmp", b"new").unwrap();
        sync(&fs, "/tmp").unwrap();
        fs.rename(Path::new("/tmp"), Path::new("/a"), Rename::Replace).unwrap();
        let after = fs.power_cut(PowerCut::Seeded(seed));
        let content = after.content("/a").unwrap();
        // The rename drops the name /tmp in the same moment.
        assert!(content == b"old" || !after.files().contains(&"/tmp".into()));
        seen.insert(content);
    }
    assert_eq!(seen, [b"new".to_vec(), b"old".to_vec()].into());
}

#[test]
fn a_rename_across_directories_needs_both_syncs() {
    let made = || {
        let fs = SimFs::new();
        fs.create_dir_all(Path::new("/to")).unwrap();
        fs.put("/from/a", b"1").unwrap();
        fs.rename(Path::new("/from/a"), Path::new("/to/a"), Rename::NoReplace).unwrap();
        fs
    };
    for seed in 0..50 {
        assert_eq!(made().power_cut(PowerCut::Seeded(seed)).files().len(), 1, "moved whole or not at all");
    }
    let fs = made();
    fs.sync_dir(Path::new("/to")).unwrap();
    assert_eq!(
        fs.power_cut(PowerCut::SyncedOnly).files().len(),
        2,
        "the new name durable, the old not yet gone"
    );
    let fs = made();
    fs.sync_dir(Path::new("/from")).unwrap();
    assert_eq!(
        fs.power_cut(PowerCut::SyncedOnly).files().len(),
        0,
        "the old name gone, the new not yet durable"
    );
}

#[test]
fn seeded_power_cuts_lose_keep_and_tear_writes() {
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..300 {
        let fs = SimFs::new();
        fs.put("/a", &[b'o'; 2048]).unwrap();
        fs.open(Path::new("/a"), Access::ReadWrite).unwrap().write_all_at(&[b'n'; 2048], 0).unwrap();
        let content = fs.power_cut(PowerCut::Seeded(seed)).content("/a").unwrap();
        for sector in content.chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is whole");
        }
        match content.iter().filter(|byte| **byte == b'n').count() {
            2048 => kept += 1,
            0 => lost += 1,
            _ => torn += 1,
        }
    }
    assert!(kept > 50 && lost > 50 && torn > 20, "{kept} {lost} {torn}");
}

#[test]
fn the_same_seed_leaves_the_same_disk() {
    let fs = SimFs::new();
    for i in 0..20 {
        write(&fs, &format!("/{i}"), &[b'x'; 1000]).unwrap();
    }
    let files = |seed| {
        let after = fs.power_cut(PowerCut::Seeded(seed));
        after.files().into_iter().map(|path| (after.content(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    for seed in 0..20 {
        assert_eq!(files(seed), files(seed));
    }
}

#[test]
fn a_failed_sync_may_lose_content_that_a_later_sync_claims() {
    let fs = SimFs::new();
    fs.put("/a", b"old").unwrap();
    fs.inject(Rule::on(OpKind::Sync, Fault::SyncLoss { forget: false }).nth(1));
    let file = fs.open(Path::new("/a"), Access::ReadWrite).unwrap();
    file.write_all_at(b"new", 0).unwrap();
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(fs.content("/a").unwrap(), b"new");
    assert_eq!(fs.power_cut(PowerCut::SyncedOnly).content("/a").unwrap(), b"old");
}

#[test]
fn rules_strike_the_nth_matching_operation() {
    let fs = SimFs::new();
    fs.inject(Rule::on(OpKind::Write, Fault::Short { bytes: 2 }).path_containing("part-").nth(2));
    fs.inject(Rule::on(OpKind::Rename, Fault::Denied).from_nth(2));
    write(&fs, "/other", b"abcdef").unwrap();
    write(&fs, "/part-1", b"abcdef").unwrap();
    assert_eq!(write(&fs, "/part-2", b"abcdef").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(fs.content("/part-2").unwrap(), b"ab");
    write(&fs, "/part-3", b"abcdef").unwrap();
    let rename = |from: &str, to: &str| fs.rename(Path::new(from), Path::new(to), Rename::Replace);
    rename("/part-1", "/x").unwrap();
    assert_eq!(rename("/part-2", "/y").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    assert!(rename("/part-2", "/y").is_err());
    fs.clear_faults();
    rename("/part-2", "/y").unwrap();
}

#[test]
fn a_full_disk_takes_what_fits_and_goes_on_when_space_is_freed() {
    let fs = SimFs::new();
    fs.set_capacity(Some(10));
    write(&fs, "/a", b"123456").unwrap();
    assert_eq!(write(&fs, "/b", b"123456").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!((fs.used(), fs.content("/b").unwrap().len()), (10, 4));
    let open = fs.open(Path::new("/a"), Access::Read).unwrap();
    fs.remove_file(Path::new("/a")).unwrap();
    assert_eq!(fs.used(), 10, "an open file holds its space");
    drop(open);
    assert_eq!(fs.used(), 4);
    write(&fs, "/b", b"1234567890").unwrap();
}

#[test]
fn a_process_dies_before_its_kth_mutation_and_reads_count_for_nothing() {
    let fs = SimFs::new();
    fs.keep_log();
    fs.freeze_at(3);
    write(&fs, "/a", b"1").unwrap();
    fs.content("/a").unwrap();
    fs.metadata(Path::new("/a")).unwrap();
    assert!(write(&fs, "/b", b"2").is_err());
    assert!(fs.is_frozen() && fs.metadata(Path::new("/a")).is_err());
    assert_eq!(fs.log().iter().map(|op| op.kind).collect::<Vec<_>>(), [OpKind::Create, OpKind::Write]);
    assert_eq!(fs.process_crash().files().len(), 1);
}

#[test]
fn many_files_that_come_and_go_leave_nothing_behind() {
    let fs = SimFs::new();
    for i in 0..5000 {
        write(&fs, &format!("/{i}"), b"1").unwrap();
        fs.remove_file(Path::new(&format!("/{i}"))).unwrap();
        sync_root(&fs);
    }
    assert_eq!(fs.used(), 0);
    assert!(fs.0.lock().disk.nodes.len() < 3000);
}
