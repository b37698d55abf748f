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

    /// A Maven project whose run-time dependencies are the system's jars.
    fn pom(&self) -> String;

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

    /// Options of the JVM, without class path.
    fn jvm(&self) -> Vec<String>;

    /// Files to write into the data directory before each start, as name and content.
    fn files(&self, node: &Node) -> Vec<(&'static str, String)>;

    /// Programs to run to their end before the first start, such as one that formats a disk.
    fn once(&self, node: &Node) -> Vec<Java>;

    /// The program that is the system.
    fn main(&self, node: &Node) -> Java;

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

/// A call of a class that has a `main`.
#[derive(Clone, Debug)]
pub struct Java {
    /// The class.
    pub class: String,
    /// What it is told.
    pub arguments: Vec<String>,
}

impl Java {
    /// A call.
    pub fn new(class: &str, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { class: class.to_owned(), arguments: arguments.into_iter().map(Into::into).collect() }
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
