//! `connect store`: the contract of each tool.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::{Place, Ran};

const STREAM: &str = "scope/name";

/// A directory with a store of one stream.
fn store(segments: &str) -> Place {
    let place = Place::new();
    place
        .connect(&["store", "create", "--dir", "d", "--stream", STREAM, "--segments", segments])
        .assert_done();
    place
}

/// A command that is given something on standard input.
fn command(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.command(arguments);
    command.stdin(Stdio::piped());
    command
}

/// `connect store append` of these lines, to its end.
fn append(place: &Place, writer: &str, lines: &str) -> Ran {
    let arguments = ["store", "append", "--dir", "d", "--stream", STREAM, "--writer", writer, "--ack"];
    let mut child = command(place, &arguments).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = lines.to_owned();
    let feeding = std::thread::spawn(move || drop(input.write_all(lines.as_bytes())));
    let done = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    Ran::of(done)
}

fn tail(place: &Place) -> Vec<String> {
    let arguments = ["store", "tail", "--dir", "d", "--stream", STREAM, "--from", "head", "--until", "tail"];
    place.connect(&arguments).assert_done().stdout.lines().map(str::to_owned).collect()
}

fn lines(range: std::ops::RangeInclusive<u32>) -> String {
    range.map(|n| format!("key-{}\tline {n}\n", n % 7)).collect()
}

/// Every line once, and those of a key in order.
fn assert_lines(found: &[String], count: u32) {
    for key in 0..7 {
        let of_key = |line: &&String| line.starts_with(&format!("key-{key}\t"));
        let expected: Vec<_> = lines(1..=count).lines().map(str::to_owned).filter(|l| of_key(&l)).collect();
        let found: Vec<_> = found.iter().filter(of_key).cloned().collect();
        assert_eq!(found, expected, "key {key}");
    }
    assert_eq!(found.len(), count as usize);
}

#[test]
fn lines_are_acknowledged_by_number_and_the_same_lines_again_are_stored_once() {
    let place = store("4");
    let first = append(&place, "w1", &lines(1..=500));
    let numbers: Vec<String> = (1..=500).map(|n: u32| n.to_string()).collect();
    assert_eq!(first.assert_done().stdout.lines().collect::<Vec<_>>(), numbers);
    let again = append(&place, "w1", &lines(1..=800));
    assert_eq!(again.assert_done().stdout.lines().count(), 800);
    assert_lines(&tail(&place), 800);
    // Another writer's are others.
    append(&place, "w2", "alone\nwithout an end").assert_done();
    let all = tail(&place);
    assert_eq!(all.len(), 802);
    assert!(all.contains(&"alone".to_owned()) && all.contains(&"without an end".to_owned()));
}

#[test]
fn a_key_stays_in_order_across_scales_and_runs() {
    let place = store("1");
    for (until, into) in [(300, "4"), (600, "2"), (900, "3")] {
        append(&place, "w1", &lines(1..=until)).assert_done();
        place.connect(&["store", "scale", "--dir", "d", "--stream", STREAM, "--into", into]).assert_done();
    }
    append(&place, "w1", &lines(1..=1000)).assert_done();
    assert_lines(&tail(&place), 1000);
    let drawn = place.connect(&["store", "chart", "--dir", "d", "--stream", STREAM]);
    assert_eq!(drawn.assert_done().stdout.matches("<rect").count(), 10);
    let stat = place.connect(&["store", "stat", "--dir", "d", "--stream", STREAM, "--json"]).report();
    let current =
        stat["segments"].as_array().unwrap().iter().filter(|segment| segment["sealed_at"].is_null());
    assert_eq!(current.count(), 3, "{stat}");
    place.connect(&["store", "truncate", "--dir", "d", "--stream", STREAM, "--at", "tail"]).assert_done();
    assert!(tail(&place).is_empty());
    assert!(place.connect(&["store", "list", "--dir", "d"]).assert_done().stdout.contains(STREAM));
    place.connect(&["store", "verify", "--dir", "d"]).assert_done();
}

/// A process that appends what it is given, line by line, and holds the store meanwhile.
fn holding(place: &Place) -> (Child, BufReader<std::process::ChildStdout>) {
    let arguments = ["store", "append", "--dir", "d", "--stream", STREAM, "--writer", "held", "--ack"];
    let mut child = command(place, &arguments).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

#[test]
fn while_one_process_holds_a_store_others_read_it_and_are_refused_everything_else() {
    let place = store("2");
    let (mut child, mut output) = holding(&place);
    let mut input = child.stdin.take().unwrap();
    let mut acknowledged = String::new();
    for n in 1..=3 {
        input.write_all(format!("k\tline {n}\n").as_bytes()).unwrap();
        acknowledged.clear();
        output.read_line(&mut acknowledged).unwrap();
        assert_eq!(acknowledged.trim(), n.to_string());
        // What is acknowledged is read by whoever looks, while it is held.
        assert_eq!(tail(&place).len(), n);
    }
    assert!(place.connect(&["store", "list", "--dir", "d"]).assert_done().stdout.contains(STREAM));
    assert!(place.connect(&["store", "stat", "--dir", "d"]).assert_done().stdout.contains("segments"));
    let pid = format!("process {}", child.id());
    for refused in [
        vec!["store", "verify", "--dir", "d"],
        vec!["store", "salvage", "--dir", "d", "--to", "e"],
        vec!["store", "create", "--dir", "d", "--stream", "a/b"],
        vec!["store", "scale", "--dir", "d", "--stream", STREAM, "--into", "3"],
        vec!["store", "truncate", "--dir", "d", "--stream", STREAM, "--at", "tail"],
    ] {
        place.connect(&refused).assert_error(1, &[&pid, "d is held open"]);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    place.connect(&["store", "verify", "--dir", "d"]).assert_done();
}

/// All files of the store with what they hold.
fn contents(place: &Place) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = |dir: PathBuf| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let (dirs, mut files): (Vec<_>, Vec<_>) = entries(place.path("d")).partition(|path| path.is_dir());
    files.extend(dirs.into_iter().flat_map(entries));
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn a_check_says_whether_the_stream_is_there_and_changes_nothing_whoever_holds_the_store() {
    let place = store("2");
    append(&place, "w1", "a line\n").assert_done();
    let pipeline = |file: &str, source: &str, sink: &str| {
        let head = "name = \"p\"\ncheckpoint = { dir = \"ckpt\" }\n";
        place.write(file, &format!("{head}[source]\n{source}\n[sink]\n{sink}\n"));
    };
    let stream = |name: &str| format!("connector = \"pravega\"\ndir = \"d\"\nstream = \"{name}\"");
    let files = |path: &str| format!("connector = \"file\"\npath = \"{path}\"\nformat = \"lines\"");
    pipeline("from.toml", &stream(STREAM), &files("out"));
    pipeline("to.toml", &files("in"), &stream(STREAM));
    pipeline("from-none.toml", &stream("scope/none"), &files("out"));
    pipeline("to-none.toml", &files("in"), &stream("scope/none"));
    let check = || {
        let before = contents(&place);
        place.connect(&["check", "from.toml"]).assert_done();
        place.connect(&["check", "to.toml"]).assert_done();
        place
            .connect(&["check", "from-none.toml"])
            .assert_error(2, &["source.stream", "no stream `scope/none`"]);
        place.connect(&["check", "to-none.toml"]).assert_error(2, &["sink.stream", "no stream `scope/none`"]);
        assert!(contents(&place) == before, "a check changed a file of the store");
    };
    check();
    let (mut child, mut output) = holding(&place);
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"another line\n").unwrap();
    output.read_line(&mut String::new()).unwrap();
    check();
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_tail_without_an_end_follows_a_writer_in_another_process() {
    let place = store("1");
    let arguments = ["store", "tail", "--dir", "d", "--stream", STREAM, "--from", "head"];
    let mut following = command(&place, &arguments).spawn().unwrap();
    let mut output = BufReader::new(following.stdout.take().unwrap());
    append(&place, "w1", "one\ntwo\n").assert_done();
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "one\ntwo\n");
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn what_is_broken_is_named_and_what_is_not_is_saved() {
    use std::os::unix::fs::FileExt;
    let place = store("1");
    for n in 1..=20 {
        append(&place, &format!("w{n}"), "a line that is stored\n").assert_done();
    }
    let mut logs: Vec<_> = std::fs::read_dir(place.path("d/log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    // The snapshot of the last run covers all frames, so it is taken away: recovery reads the log from its beginning.
    for entry in std::fs::read_dir(place.path("d/snapshots")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let file = std::fs::File::options().read(true).write(true).open(&logs[0]).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 6000).unwrap();
    file.write_all_at(&[byte[0] ^ 8], 6000).unwrap();
    place.connect(&["store", "verify", "--dir", "d"]).assert_error(1, &[".log is damaged at byte"]);
    place.connect(&["store", "tail", "--dir", "d", "--stream", STREAM]).assert_error(1, &["is damaged"]);
    let saved = place.connect(&["store", "salvage", "--dir", "d", "--to", "e", "--json"]).report();
    assert_eq!(saved["lost"].as_array().unwrap().len(), 1, "{saved}");
    assert!(saved["bytes"].as_u64().unwrap() > 0, "{saved}");
    place.connect(&["store", "verify", "--dir", "e"]).assert_done();
}

#[test]
fn what_is_wrong_with_a_command_is_said() {
    let place = store("1");
    let none = ["store", "tail", "--dir", "nothing", "--stream", STREAM];
    place.connect(&none).assert_error(1, &["nothing holds no store"]);
    let missing = ["store", "tail", "--dir", "d", "--stream", "scope/other"];
    place.connect(&missing).assert_error(1, &["no stream `scope/other`"]);
    let name = ["store", "create", "--dir", "d", "--stream", "scope/na me"];
    place.connect(&name).assert_error(2, &["letters, digits"]);
    let twice = ["store", "create", "--dir", "d", "--stream", STREAM];
    place.connect(&twice).assert_error(1, &["there already"]);
    let cut = ["store", "truncate", "--dir", "d", "--stream", STREAM, "--at", "7.#epoch.7:0"];
    place.connect(&cut).assert_error(1, &["7.#epoch.7"]);
    let segment =
        ["store", "scale", "--dir", "d", "--stream", STREAM, "--into", "2", "--segments", "9.#epoch.0"];
    place.connect(&segment).assert_error(2, &["9.#epoch.0", "no current segment"]);
}

#[test]
fn the_disk_is_measured_and_left_as_it_was() {
    let place = Place::new();
    let measured = place.connect(&["store", "bench", "--dir", "b", "--mebibytes", "1", "--json"]).report();
    assert!(measured["events_per_second"].as_f64().unwrap() > 0.0, "{measured}");
    assert_eq!(std::fs::read_dir(place.path("b")).unwrap().count(), 0);
}
