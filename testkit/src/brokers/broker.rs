//! A running system.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::cache::Library;
#[cfg(feature = "containers")]
use super::container::Container;
use super::error::doing;
use super::ports::Reserved;
use super::process::Process;
use super::recipe::{Node, Recipe};
use super::{BrokerError, Mode, real, trial};

/// How long a start may take: a loaded machine, a first start.
const START: Duration = Duration::from_secs(120);
/// How long an orderly end may take.
const TERMINATE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// How many lines of log an error shows.
const LINES: usize = 40;

/// A system that runs, was killed, or is frozen: whatever the test told it last.
///
/// All calls block the calling thread, some for seconds: from asynchronous code call them in `spawn_blocking`. Dropping it kills the system
/// and removes its data (see `TESTKIT_KEEP`); when the dropping thread is panicking, the end of the log is printed first, and a
/// [`trial`](super::trial()) that fails shows it too.
#[derive(Debug)]
pub struct Broker {
    recipe: Arc<dyn Recipe>,
    host: Host,
    /// Held for as long as the system may come back.
    reserved: Vec<(&'static str, Reserved)>,
}

#[derive(Debug)]
enum Host {
    Process(Box<Process>),
    #[cfg(feature = "containers")]
    Container(Box<Container>),
}

impl Broker {
    /// Starts a system with empty data on free ports of 127.0.0.1, and returns when it answers.
    ///
    /// The first start on a machine fetches the software (Kafka: about 44 MB of jars; two more seconds go into an archive of classes that
    /// makes later starts faster).
    ///
    /// # Errors
    ///
    /// [`BrokerError::Missing`] if something must be installed first; otherwise why it did not start.
    pub fn start(recipe: impl Recipe) -> Result<Self, BrokerError> {
        let recipe: Arc<dyn Recipe> = Arc::new(recipe);
        match Mode::from_env()? {
            Mode::Process => Self::start_process(recipe),
            #[cfg(feature = "containers")]
            Mode::Container => Self::start_container(recipe),
            #[cfg(not(feature = "containers"))]
            Mode::Container => unreachable!("Mode::from_env refuses it"),
        }
    }

    fn start_process(recipe: Arc<dyn Recipe>) -> Result<Self, BrokerError> {
        let library = Library::obtain(&*recipe)?;
        let archive = library.archive(|library, archive| {
            let option = format!("-XX:ArchiveClassesAtExit={}", archive.display());
            Self::run_process(recipe.clone(), library.clone(), vec![option])?.terminate()
        })?;
        let options = archive.map(|archive| format!("-XX:SharedArchiveFile={}", archive.display()));
        Self::run_process(recipe, library, options.into_iter().collect())
    }

    fn run_process(
        recipe: Arc<dyn Recipe>,
        library: Library,
        options: Vec<String>,
    ) -> Result<Self, BrokerError> {
        let reserved = reserve(&*recipe)?;
        let dir = tempfile::Builder::new()
            .prefix(&format!("testkit-{}-", recipe.name().to_lowercase()))
            .tempdir()
            .map_err(doing("make a data directory"))?;
        // From here on `Process` removes it, or its watcher.
        let node = Node { dir: dir.keep(), ports: numbers(&reserved), bind: Ipv4Addr::LOCALHOST };
        let mut process = Process::new(&*recipe, node, library, options)?;
        process.once(&*recipe)?;
        let mut broker = Self { recipe, host: Host::Process(Box::new(process)), reserved };
        broker.restart()?;
        Ok(broker)
    }

    #[cfg(feature = "containers")]
    fn start_container(recipe: Arc<dyn Recipe>) -> Result<Self, BrokerError> {
        let reserved = reserve(&*recipe)?;
        let node = Node { dir: "/".into(), ports: numbers(&reserved), bind: Ipv4Addr::UNSPECIFIED };
        let container = Container::start(&*recipe, &node)?;
        let mut broker = Self { recipe, host: Host::Container(Box::new(container)), reserved };
        broker.wait_ready()?;
        Ok(broker)
    }

    fn wait_ready(&mut self) -> Result<(), BrokerError> {
        let deadline = real::now() + START;
        loop {
            if let Some(how) = self.ended()? {
                return Err(BrokerError::Died { name: self.recipe.name(), how, log: self.log_tail(LINES) });
            }
            let Err(last) = self.recipe.ready(self.address()) else { return Ok(()) };
            if real::now() >= deadline {
                let (name, seconds) = (self.recipe.name(), START.as_secs());
                return Err(BrokerError::NotReady { name, seconds, last, log: self.log_tail(LINES) });
            }
            real::sleep(POLL);
        }
    }

    fn ended(&mut self) -> Result<Option<String>, BrokerError> {
        match &mut self.host {
            Host::Process(process) => Ok(process.ended()?.map(|status| status.to_string())),
            #[cfg(feature = "containers")]
            Host::Container(container) => container.ended(),
        }
    }

    /// Where clients connect: the first of the recipe's ports, on 127.0.0.1.
    pub fn address(&self) -> SocketAddr {
        match self.reserved.first() {
            Some((_, port)) => port.address(),
            None => panic!("the recipe names no port"),
        }
    }

    /// The address of one of the recipe's ports.
    ///
    /// # Panics
    ///
    /// If the recipe doesn't name it.
    pub fn address_of(&self, port: &str) -> SocketAddr {
        match self.reserved.iter().find(|(name, _)| *name == port) {
            Some((_, port)) => port.address(),
            None => panic!("{} has no port `{port}`", self.recipe.name()),
        }
    }

    /// SIGKILL; returns when the process is gone. Nothing happens if it isn't running.
    ///
    /// # Errors
    ///
    /// The machine or the container engine refused.
    pub fn kill(&mut self) -> Result<(), BrokerError> {
        match &mut self.host {
            Host::Process(process) => process.kill(),
            #[cfg(feature = "containers")]
            Host::Container(container) => container.kill(),
        }
    }

    /// SIGTERM; returns when the process is gone, after at most 30 s.
    ///
    /// # Errors
    ///
    /// It isn't running, or did not end in time.
    pub fn terminate(&mut self) -> Result<(), BrokerError> {
        match &mut self.host {
            Host::Process(process) => process.terminate(TERMINATE).map(|_status| ()),
            #[cfg(feature = "containers")]
            Host::Container(container) => container.terminate(TERMINATE),
        }
    }

    /// Starts it again after [`kill`](Self::kill) or [`terminate`](Self::terminate), on the same ports and the same data; returns when
    /// it answers.
    ///
    /// # Errors
    ///
    /// It is running, or did not start.
    pub fn restart(&mut self) -> Result<(), BrokerError> {
        match &mut self.host {
            Host::Process(process) => process.start(&*self.recipe)?,
            #[cfg(feature = "containers")]
            Host::Container(container) => container.start_again()?,
        }
        self.wait_ready()
    }

    /// Freezes it with SIGSTOP; returns when nothing of it runs. Its connections stay open, and nothing answers.
    ///
    /// # Errors
    ///
    /// It isn't running.
    pub fn pause(&mut self) -> Result<(), BrokerError> {
        match &mut self.host {
            Host::Process(process) => process.pause(),
            #[cfg(feature = "containers")]
            Host::Container(container) => container.pause(),
        }
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// It isn't running.
    pub fn resume(&mut self) -> Result<(), BrokerError> {
        match &mut self.host {
            Host::Process(process) => process.signal(Signal::CONT),
            #[cfg(feature = "containers")]
            Host::Container(container) => container.resume(),
        }
    }

    /// The last lines of what it printed, over all its starts.
    pub fn log_tail(&self, lines: usize) -> String {
        match &self.host {
            Host::Process(process) => process.log_tail(lines),
            #[cfg(feature = "containers")]
            Host::Container(container) => container.log_tail(lines),
        }
    }

    /// The process id of the system while it runs; `None` in a container.
    pub fn pid(&self) -> Option<u32> {
        match &self.host {
            Host::Process(process) => process.pid(),
            #[cfg(feature = "containers")]
            Host::Container(_) => None,
        }
    }

    /// The directory of its data; `None` in a container.
    pub fn data_dir(&self) -> Option<&Path> {
        match &self.host {
            Host::Process(process) => Some(process.node().dir()),
            #[cfg(feature = "containers")]
            Host::Container(_) => None,
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let said = || format!("the last lines of {}'s log:\n{}", self.recipe.name(), self.log_tail(LINES));
        if std::thread::panicking() {
            eprintln!("{}", said());
        } else {
            trial::remember(said);
        }
    }
}

fn reserve(recipe: &dyn Recipe) -> Result<Vec<(&'static str, Reserved)>, BrokerError> {
    let one = |name: &&'static str| Ok((*name, Reserved::any()?));
    recipe.ports().iter().map(one).collect::<std::io::Result<_>>().map_err(doing("reserve a port"))
}

fn numbers(reserved: &[(&'static str, Reserved)]) -> Vec<(&'static str, u16)> {
    reserved.iter().map(|(name, port)| (*name, port.address().port())).collect()
}
