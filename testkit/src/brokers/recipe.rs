//! What a system is: everything that differs between Kafka and the next one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::BrokerError;

/// How one kind of system is fetched, configured, started and found ready.
///
/// Everything else (cache, ports, processes, containers, logs, cleaning up) is [`Broker`](super::Broker)'s business. All methods are
/// pure except [`ready`](Self::ready) and [`finish_library`](Self::finish_library).
pub trait Recipe: fmt::Debug + Send + Sync + 'static {
    /// A word such as `Kafka`; lower-cased it names directories, upper-cased environment variables.
    fn name(&self) -> &'static str;

    /// The version that is fetched.
    fn version(&self) -> &'static str;

    /// What it is made of, and what runs that.
    fn software(&self) -> Software;

    /// Completes the directory `lib` of jars after the download, once per cache: compiles a launcher, say.
    ///
    /// # Errors
    ///
    /// Whatever went wrong; the download is then discarded.
    fn finish_library(&self, lib: &std::path::Path) -> Result<(), BrokerError> {
        let _nothing_to_add = lib;
        Ok(())
    }

    /// Names of the ports that it listens on. The first is where clients connect.
    fn ports(&self) -> &'static [&'static str];

    /// Files to write into the data directory before each start, as name and content.
    fn files(&self, node: &Node) -> Vec<(&'static str, String)>;

    /// Programs to run to their end before the first start, such as one that formats a disk.
    fn once(&self, node: &Node) -> Vec<Program>;

    /// The program that is the system.
    fn main(&self, node: &Node) -> Program;

    /// One probe, bounded to some seconds: does the system *answer* in its protocol? A port that accepts proves nothing.
    ///
    /// # Errors
    ///
    /// Why it isn't ready yet, in words. It is asked again.
    fn ready(&self, address: SocketAddr) -> Result<(), String>;

    /// The container that does the same.
    fn image(&self, node: &Node) -> Image;
}

/// Where a system is to stand.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) dir: PathBuf,
    pub(crate) ports: Vec<(&'static str, u16)>,
    pub(crate) bind: Ipv4Addr,
}

impl Node {
    /// The data directory, absolute; empty before the first start. It has no meaning in a container.
    pub fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    /// What listeners bind: 127.0.0.1, or all interfaces of a container (which are published on 127.0.0.1 only).
    pub fn bind(&self) -> IpAddr {
        self.bind.into()
    }

    /// The number of a port; inside and outside of a container it is the same.
    ///
    /// # Panics
    ///
    /// If [`Recipe::ports`] doesn't name it.
    pub fn port(&self, name: &str) -> u16 {
        match self.ports.iter().find(|(known, _)| *known == name) {
            Some((_, port)) => *port,
            None => panic!("the recipe names no port `{name}`"),
        }
    }
}

/// What a system is made of. It is fetched once, into the cache.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Software {
    /// Jars, and a JVM.
    Jars {
        /// A Maven project whose run-time dependencies they are.
        pom: String,
        /// Options of the JVM, without class path.
        jvm: Vec<String>,
    },
    /// Packages of Python, in an environment of their own.
    Packages {
        /// What `pip install` is told, each with its version.
        requirements: &'static [&'static str],
    },
}

impl Software {
    /// What decides the content of the cache.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Jars { pom, .. } => pom.clone(),
            Self::Packages { requirements } => requirements.join("\n"),
        }
    }
}

/// A program that the software runs.
#[derive(Clone, Debug)]
pub struct Program {
    /// A class that has a `main`; for Python a script, one of [`Recipe::files`].
    pub name: String,
    /// What it is told.
    pub arguments: Vec<String>,
}

impl Program {
    /// A call.
    pub fn new(name: &str, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { name: name.to_owned(), arguments: arguments.into_iter().map(Into::into).collect() }
    }
}

/// A container image and how it is configured.
#[derive(Clone, Debug)]
pub struct Image {
    /// Such as `apache/kafka:4.3.1`.
    pub name: String,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
}
