//! A disk that is really full: a small tmpfs in a mount namespace of the test's own.

use std::process::Command;

use super::support::Place;

/// Runs `connect` with `small` mounted below `out`, `ckpt` or both, filled up to what `room` leaves. Once the log says that
/// the disk is full and some restarts went by, the space is freed; the run must then end by itself.
///
/// Arguments of the script: the place, the program, the directory on the small disk, its size in KiB, the ballast in KiB.
const SCRIPT: &str = r#"
set -eu
cd "$1"
mkdir -p "$3"
mount -t tmpfs -o size="$4"k tmpfs "$3"
mkdir -p "$3/out" "$3/ckpt"
head -c "$5"k /dev/zero > "$3/ballast"
"$2" run p.toml --report json > report.json 2> log.txt &
pid=$!
for _ in $(seq 600); do
    [ "$(grep -c 'No space left' log.txt || true)" -ge 3 ] && break
    kill -0 $pid 2> /dev/null || break
    sleep 0.05
done
echo "during: $(cat "$3"/out/part-* 2> /dev/null | wc -l)" > seen.txt
kill -0 $pid 2> /dev/null || { echo "ended before space was freed"; cat log.txt report.json; exit 9; }
rm "$3/ballast"
code=0
wait $pid || code=$?
cat "$3"/out/* 2> /dev/null | sort > lines.txt
find "$3/out" -name '.*' -type f > hidden.txt
exit $code
"#;

/// Whether a mount namespace can be had here.
fn can_mount() -> bool {
    let probe = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    probe.is_ok_and(|probe| probe.status.success())
}

struct Full {
    /// Which of the two directories is on the small disk.
    small: &'static str,
    size_kib: u32,
    ballast_kib: u32,
    /// What the log must name.
    names: &'static str,
}

fn run_on_a_full_disk(case: &Full) {
    if !can_mount() {
        assert!(
            std::env::var_os("CI").is_none(),
            "no tmpfs can be mounted here (`unshare -rm mount`), and CI must run this"
        );
        eprintln!("skipped: no tmpfs can be mounted here (`unshare -rm mount -t tmpfs` was refused)");
        return;
    }
    let place = Place::new();
    let count = 30_000;
    place.lines("in/a.txt", 0, count);
    place.edit(
        r#"restart = { strategy = "none" }"#,
        r#"restart = { strategy = "fixed_delay", attempts = 100000, delay = "50ms" }"#,
    );
    place.edit("8 MiB", "256 KiB");
    match case.small {
        "out" => place.edit(r#"path = "out""#, r#"path = "small/out""#),
        _ => place.edit(r#"dir = "ckpt""#, r#"dir = "small/ckpt""#),
    }
    if case.small == "ckpt" {
        place.edit(r#"path = "out""#, r#"path = "plain/out""#);
    }
    let ran = Command::new("unshare")
        .args(["-rm", "bash", "-c", SCRIPT, "full-disk"])
        .arg(place.path(""))
        .args([env!("CARGO_BIN_EXE_connect"), "small"])
        .args([case.size_kib.to_string(), case.ballast_kib.to_string()])
        .output()
        .unwrap();
    let log = std::fs::read_to_string(place.path("log.txt")).unwrap_or_default();
    let shown = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{:?}\n{shown}\n{log}", ran.status);
    assert!(log.contains("No space left") && log.contains(case.names), "the error names the place:\n{log}");
    let lines = if case.small == "out" {
        assert_eq!(std::fs::read_to_string(place.path("hidden.txt")).unwrap(), "", "no hidden file is left");
        std::fs::read_to_string(place.path("lines.txt")).unwrap()
    } else {
        let mut lines: Vec<String> = Vec::new();
        for entry in std::fs::read_dir(place.path("plain/out")).unwrap() {
            let path = entry.unwrap().path();
            lines.extend(std::fs::read_to_string(path).unwrap().lines().map(str::to_owned));
        }
        lines.sort();
        lines.join("\n") + "\n"
    };
    let expected: String = (0..count).map(|n| format!("{n:099}\n")).collect();
    assert!(lines == expected, "every line exactly once, not {} lines", lines.lines().count());
}

/// 3 MB of lines, and room for 1 MB of parts.
#[test]
fn a_disk_that_is_full_while_parts_are_written_stops_nothing_for_good() {
    run_on_a_full_disk(&Full {
        small: "out",
        size_kib: 16_384,
        ballast_kib: 15_360,
        names: "small/out/.part-",
    });
}

/// Room for all parts, but not for what they are merged into.
#[test]
fn a_disk_that_is_full_while_parts_are_merged_stops_nothing_for_good() {
    run_on_a_full_disk(&Full { small: "out", size_kib: 16_384, ballast_kib: 12_288, names: ".compacting" });
}

/// Room for the first records of a run, but for no checkpoint.
#[test]
fn a_disk_that_is_full_while_a_checkpoint_is_stored_stops_nothing_for_good() {
    run_on_a_full_disk(&Full { small: "ckpt", size_kib: 64, ballast_kib: 52, names: "small/ckpt/" });
}
