//! `cargo xtask containers`: testkit's broker tests on containers, on a machine that has Docker but reaches no registry of images.
//!
//! A daemon of our own, on a socket in a temporary directory, runs an image that is built from the JDK of this machine and the jars in
//! the cache. In place of the official image's shell scripts there is a small one; what reads the environment and writes
//! `server.properties` is Kafka's own `KafkaDockerWrapper`, as in the official image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Result, shell};

const IMAGE: &str = "testkit-kafka:local";
/// How long the daemon may take to answer or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The modules of the JDK that Kafka needs.
const MODULES: &str = "java.se,jdk.unsupported,jdk.management,jdk.crypto.ec,jdk.zipfs";

/// What the official image starts with, in the words of a shell without any other program.
const RUN: &str = r#"#!/bin/sh
set -e
: "${CLUSTER_ID:?}"
java='/jdk/bin/java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp /opt/kafka/libs/*'
set -f
said=$($java kafka.docker.KafkaDockerWrapper setup --default-configs-dir /etc/kafka/docker \
    --mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config 2>&1) ||
    case $said in *'already formatted'*) ;; *) echo "$said"; exit 1 ;; esac
exec $java $KAFKA_HEAP_OPTS -Dlog4j2.configurationFile=/opt/kafka/config/log4j2.yaml \
    kafka.Kafka /opt/kafka/config/server.properties
"#;

const LOG4J: &str = r#"Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout:
        pattern: "[%d] %p %m (%c)%n"
  Loggers:
    Root:
      level: INFO
      AppenderRef:
        - ref: STDOUT
"#;

/// Builds the image, runs the tests or this command, and stops the daemon whatever came out.
pub(crate) fn run(instead: &[String]) -> Result {
    for (program, package) in
        [("dockerd", "docker.io iptables"), ("jlink", "default-jdk-headless"), ("mvn", "maven")]
    {
        let found =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.map_err(|e| {
            format!("{program}: {e} (Debian: apt-get install --no-install-recommends {package})")
        })?;
    }
    // The tests on processes put the jars into the cache.
    shell::run(tests(&[]))?;
    let dir = PathBuf::from(shell::output(command("mktemp", ["-d", "-t", "containers-XXXXXX"]))?.trim());
    let done = with_daemon(&dir, instead);
    let removed = fs::remove_dir_all(&dir).map_err(|e| format!("{} is left behind: {e}", dir.display()));
    done.and(removed)
}

fn tests(instead: &[String]) -> Command {
    let mut tests = match instead {
        [] => shell::cargo(["test", "--workspace", "--all-features", "--test", "brokers"]),
        [program, arguments @ ..] => command(program, arguments),
    };
    // Nothing may be ignored.
    tests.env("CI", "true").env_remove("TESTKIT_BROKERS");
    tests
}

fn with_daemon(dir: &Path, instead: &[String]) -> Result {
    let image = root_of_image(dir)?;
    let host = format!("unix://{}/docker.sock", dir.display());
    let daemon = Daemon::start(dir, &host)?;
    let mut import = docker(&host, ["import", "--change", r#"CMD ["/bin/sh", "/run.sh"]"#]);
    import.args(["--change", "VOLUME /var/lib/kafka/data"]).arg(image).arg(IMAGE).stdout(Stdio::null());
    let tested = shell::run(import).and_then(|()| {
        let mut tests = tests(instead);
        tests.env("DOCKER_HOST", &host).env("TESTKIT_BROKERS", "container").env("TESTKIT_KAFKA_IMAGE", IMAGE);
        shell::run(tests)
    });
    let left = shell::output(docker(&host, ["ps", "--all", "--quiet"]));
    let stopped = daemon.stop();
    tested.and(stopped)?;
    match left?.trim() {
        "" => Ok(()),
        left => Err(format!("the tests left containers behind: {left}")),
    }
}

/// A tar file with a JVM, a shell, their libraries, Kafka's jars and the directories that the official image has.
fn root_of_image(dir: &Path) -> Result<PathBuf> {
    let (root, tar) = (dir.join("root"), dir.join("root.tar"));
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    for made in
        ["bin", "tmp", "etc/kafka/docker", "opt/kafka/config", "mnt/shared/config", "var/lib/kafka/data"]
    {
        fs::create_dir_all(inside(made)).map_err(|e| format!("{made}: {e}"))?;
    }
    let mut jlink =
        command("jlink", ["--strip-debug", "--no-header-files", "--no-man-pages", "--add-modules", MODULES]);
    jlink.arg("--output").arg(inside("jdk"));
    shell::run(jlink)?;
    copy(Path::new("/bin/sh"), &inside("bin/sh"))?;
    for library in libraries(&[inside("bin/sh"), inside("jdk")])? {
        copy(Path::new(&library), &inside(&library))?;
    }
    shell::run({
        let mut all = command("cp", ["-r"]);
        all.arg(jars()?).arg(inside("opt/kafka/libs"));
        all
    })?;
    shell::write_file(&inside("run.sh"), RUN)?;
    shell::write_file(&inside("etc/kafka/docker/server.properties"), "")?;
    for name in ["log4j2.yaml", "tools-log4j2.yaml"] {
        shell::write_file(&inside("etc/kafka/docker").join(name), LOG4J)?;
    }
    let mut pack = command("tar", ["-c", "-f"]);
    pack.arg(&tar).arg("-C").arg(&root).arg(".");
    shell::run(pack)?;
    Ok(tar)
}

/// Absolute paths of the shared libraries that programs and libraries under these paths load, and of the loader.
fn libraries(paths: &[PathBuf]) -> Result<Vec<String>> {
    let mut find = command("find", [] as [&str; 0]);
    find.args(paths).args(["-type", "f", "(", "-name", "*.so", "-o", "-perm", "-u+x", ")"]);
    let own = shell::output(find)?;
    let mut ldd = command("ldd", own.lines());
    // `ldd` ends with 1 where a file is no dynamic program; what it says of the others holds.
    let said = ldd.stderr(Stdio::null()).output().map_err(|e| format!("ldd: {e}"))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(str::to_owned);
    let ours = |library: &String| paths.iter().any(|path| Path::new(library).starts_with(path));
    let mut all: Vec<_> =
        said.lines().filter(|line| line.starts_with('\t')).filter_map(path).filter(|l| !ours(l)).collect();
    all.sort();
    all.dedup();
    Ok(all)
}

fn copy(from: &Path, to: &Path) -> Result {
    let parent = to.parent().unwrap_or(to);
    let copied = fs::create_dir_all(parent).and_then(|()| fs::copy(from, to));
    copied.map(|_| ()).map_err(|e| format!("copy {}: {e}", from.display()))
}

/// The jars that testkit fetched last.
fn jars() -> Result<PathBuf> {
    let brokers = crate::tools::cache_dir()?.join("brokers");
    let entries = fs::read_dir(&brokers).map_err(|e| format!("{}: {e}", brokers.display()))?;
    let kafka = entries.flatten().filter(|entry| {
        entry.file_name().to_string_lossy().starts_with("kafka-") && entry.path().join("lib").is_dir()
    });
    let newest = kafka.max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
    newest.map(|entry| entry.path().join("lib")).ok_or_else(|| format!("no Kafka in {}", brokers.display()))
}

fn command<S: AsRef<std::ffi::OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn docker<'a>(host: &'a str, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    command("docker", ["-H", host].into_iter().chain(arguments))
}

/// A Docker daemon that nobody else uses.
struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn start(dir: &Path, host: &str) -> Result<Self> {
        let log = dir.join("dockerd.log");
        let out = fs::File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let err = out.try_clone().map_err(|e| e.to_string())?;
        let mut dockerd = Command::new("dockerd");
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            dockerd.arg(flag).arg(dir.join(name));
        }
        // No rules of a firewall are touched; published ports are served by docker-proxy, on 127.0.0.1.
        dockerd.args([
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
            "--ip=127.0.0.1",
            "-H",
            host,
        ]);
        let child = dockerd.stdout(out).stderr(err).spawn().map_err(|e| format!("dockerd: {e}"))?;
        let mut daemon = Self { child, log };
        let deadline = shell::now() + PATIENCE;
        loop {
            let mut ask = docker(host, ["version"]);
            let answer = ask.stdout(Stdio::null()).stderr(Stdio::null()).status();
            if answer.map_err(|e| format!("docker: {e}"))?.success() {
                return Ok(daemon);
            }
            let ended = daemon.child.try_wait().map_err(|e| e.to_string())?.is_some();
            if ended || shell::now() > deadline {
                let said = fs::read_to_string(&daemon.log).unwrap_or_default();
                let stopped = if ended { Ok(()) } else { daemon.stop() };
                return Err(format!("dockerd does not answer:\n{said}{}", stopped.err().unwrap_or_default()));
            }
            shell::sleep(Duration::from_millis(100));
        }
    }

    fn stop(mut self) -> Result {
        let pid = Pid::from_raw(self.child.id().cast_signed()).ok_or("dockerd has no process id")?;
        kill_process(pid, Signal::TERM).map_err(|e| format!("end dockerd: {e}"))?;
        let deadline = shell::now() + PATIENCE;
        while self.child.try_wait().map_err(|e| e.to_string())?.is_none() {
            if shell::now() > deadline {
                self.child.kill().and_then(|()| self.child.wait()).map_err(|e| e.to_string())?;
                return Err(format!("dockerd did not end in {} s", PATIENCE.as_secs()));
            }
            shell::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}
