//! Software, fetched once into a directory that outlives clones.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::error::doing;
use super::java::{Jvm, on_path};
use super::recipe::{Program, Recipe, Software};
use super::{BrokerError, Missing, python, real};

/// How long a fetch may take: a slow network, not an absent one.
const FETCH: Duration = Duration::from_secs(20 * 60);
const POLL: Duration = Duration::from_millis(50);

/// The child waits for a line before it becomes the system, with the same process id: so there is no moment in which it runs
/// and the watcher doesn't know of it.
const GATE: &str = r#"read -r _ && exec "$@" </dev/null"#;

/// Poms of some dependencies name further repositories. Where only Central is reachable, Maven waits minutes for each;
/// this sends all others to an empty directory, so that they miss at once.
const SETTINGS: &str = "<settings><mirrors><mirror><id>central-only</id><mirrorOf>*,!central</mirrorOf>\
<url>file:///nonexistent-maven-repository</url></mirror></mirrors></settings>\n";

/// A system's software, and what runs it.
#[derive(Clone, Debug)]
pub(crate) struct Library {
    dir: PathBuf,
    runs: Runs,
}

/// What runs the software.
#[derive(Clone, Debug)]
enum Runs {
    Jvm(Jvm, Vec<String>),
    Python,
}

impl Library {
    /// Says what is missing on this machine, without fetching anything.
    pub(crate) fn check(recipe: &dyn Recipe) -> Result<(), Missing> {
        Self::find(recipe).map(|_runs| ())
    }

    fn find(recipe: &dyn Recipe) -> Result<Runs, Missing> {
        let dir = place(recipe)?;
        let Software::Jars { jvm, .. } = recipe.software() else {
            return python::find(recipe, dir.is_dir()).map(|()| Runs::Python);
        };
        let runs = Runs::Jvm(Jvm::find(recipe)?, jvm);
        if !dir.is_dir() && on_path("mvn").is_none() {
            return Err(Missing::new(
                recipe.name(),
                "its jars are not in the cache yet and mvn is not on the PATH",
                "Debian: apt-get install maven",
            ));
        }
        Ok(runs)
    }

    /// The software, fetched if this is the first time. Safe to call from many processes at once: one fetches.
    pub(crate) fn obtain(recipe: &dyn Recipe) -> Result<Self, BrokerError> {
        let runs = Self::find(recipe)?;
        let dir = place(recipe)?;
        if !dir.is_dir() {
            let _lock = lock(&dir)?;
            // Another process may have fetched them while we waited.
            if !dir.is_dir() {
                fetch(recipe, &dir)?;
            }
        }
        Ok(Self { dir, runs })
    }

    /// The command line of a program, with further options for a JVM.
    pub(crate) fn command(&self, program: &Program, options: &[String]) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        match &self.runs {
            Runs::Jvm(jvm, usual) => {
                words.push(jvm.program.clone().into());
                words.extend(usual.iter().chain(options).map(Into::into));
                // The JVM expands the star itself.
                words.extend(["-cp".into(), format!("{}/*", self.dir.join("lib").display()).into()]);
            }
            Runs::Python => words.extend([python::interpreter(&self.dir).into(), "-u".into()]),
        }
        let mut command = Command::new("/bin/sh");
        command.args(["-c", GATE, "testkit-gate"]).args(words).arg(&program.name).args(&program.arguments);
        command
    }

    /// The archive of loaded classes that halves the time of a start (class data sharing, JEP 350). It fits one build of
    /// the JVM; software for another interpreter has none. The first process that asks makes it with `make`, which runs the system once and ends it properly.
    pub(crate) fn archive(
        &self,
        make: impl FnOnce(&Self, &Path) -> Result<(), BrokerError>,
    ) -> Result<Option<PathBuf>, BrokerError> {
        let Runs::Jvm(jvm, _) = &self.runs else { return Ok(None) };
        let archive = self.dir.join(format!("classes-{:016x}.jsa", fnv(&jvm.version)));
        if !archive.is_file() {
            let _lock = lock(&self.dir)?;
            if !archive.is_file() {
                let unfinished = archive.with_extension("part");
                make(self, &unfinished)?;
                real::rename(&unfinished, &archive)
                    .map_err(doing(format!("the JVM left no archive at {}", unfinished.display())))?;
            }
        }
        Ok(Some(archive))
    }
}

/// Where a recipe's software is. Other software is another place, so that clones of different age don't disturb each other.
fn place(recipe: &dyn Recipe) -> Result<PathBuf, Missing> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let base = base.ok_or_else(|| {
        Missing::new(recipe.name(), "there is no place for its software", "set HOME or XDG_CACHE_HOME")
    })?;
    let name = recipe.name().to_lowercase();
    let key = format!("{name}-{}-{:08x}", recipe.version(), fnv(&recipe.software().key()) as u32);
    Ok(base.join("connector-sdk").join("brokers").join(key))
}

/// One lock for all systems: Maven's own repository is not made for two processes at once. Released when the process ends.
fn lock(place: &Path) -> Result<File, BrokerError> {
    let dir = place.parent().unwrap_or(place);
    let path = dir.join("lock");
    let locked = fs::create_dir_all(dir).and_then(|()| {
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        file.lock()?;
        Ok(file)
    });
    locked.map_err(doing(format!("lock {}", path.display())))
}

/// Downloads beside the final place and renames, so that a place that exists is complete. The caller holds the lock.
fn fetch(recipe: &dyn Recipe, place: &Path) -> Result<(), BrokerError> {
    let unfinished = place.with_extension("part");
    let io = || doing(format!("prepare {}", unfinished.display()));
    // Under the lock, whatever lies there is of a process that died.
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(io())?;
    }
    fs::create_dir_all(&unfinished).map_err(io())?;
    eprintln!("fetching {} {}, once, into {}", recipe.name(), recipe.version(), place.display());
    match recipe.software() {
        Software::Jars { pom, .. } => {
            real::write(&unfinished.join("pom.xml"), &pom).map_err(io())?;
            real::write(&unfinished.join("settings.xml"), SETTINGS).map_err(io())?;
            maven(&unfinished)?;
        }
        Software::Packages { requirements } => {
            let commands = python::installs(&unfinished, requirements);
            for command in commands {
                run(command, "pip install", &unfinished.join("pip.log"))?;
            }
        }
    }
    recipe.finish_library(&unfinished.join("lib"))?;
    real::rename(&unfinished, place).map_err(io())
}

fn maven(dir: &Path) -> Result<(), BrokerError> {
    let mut command = Command::new("mvn");
    command
        .args(["-B", "-ntp", "-q", "-s", "settings.xml", "dependency:copy-dependencies"])
        .args(["-DincludeScope=runtime", "-DoutputDirectory=lib"])
        .current_dir(dir);
    run(command, "mvn dependency:copy-dependencies", &dir.join("maven.log"))
}

/// Runs what fetches to its end.
fn run(mut command: Command, name: &str, log: &Path) -> Result<(), BrokerError> {
    let failed =
        |how: String| BrokerError::Command { command: name.to_owned(), how, output: real::tail(log, 20) };
    let out = File::options().create(true).append(true).open(log);
    let out = out.map_err(doing(format!("create {}", log.display())))?;
    let err = out.try_clone().map_err(doing(format!("open {}", log.display())))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(doing(format!("start {name}")))?;
    let deadline = real::now() + FETCH;
    loop {
        if let Some(status) = child.try_wait().map_err(doing(format!("wait for {name}")))? {
            return if status.success() { Ok(()) } else { Err(failed(format!("ended with {status}"))) };
        }
        if real::now() >= deadline {
            child.kill().and_then(|()| child.wait()).map_err(doing(format!("kill {name}")))?;
            return Err(failed(format!("did not end within {} s", FETCH.as_secs())));
        }
        real::sleep(POLL);
    }
}

/// FNV-1a, 64 bits: names files, protects nothing.
fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
