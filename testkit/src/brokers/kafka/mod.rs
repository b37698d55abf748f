//! Apache Kafka: one node that is broker and controller.

mod client;
mod security;
mod wire;

use std::net::SocketAddr;

pub use client::{KafkaClient, Metadata};
pub use security::{Authority, Identity};

use super::BrokerError;
use super::recipe::{Image, Node, Program, Recipe, Software};

/// 4.4.0 names an artifact that Central lacks.
const VERSION: &str = "4.3.1";
const LOG4J: &str = "2.25.4";
/// Sixteen bytes in base64. All test brokers are one cluster by name; none ever sees another.
const CLUSTER: &str = "dGVzdGtpdC1jbHVzdGVyMQ";

/// The recipe for Kafka.
///
/// Three ports: [`DIRECT`](Self::DIRECT), which clients use and the broker itself, [`PROXIED`](Self::PROXIED), which is advertised under the
/// address that [`behind`](Self::behind) was given, and the controller's. Topics are created when first named, with one partition; there
/// is one replica of everything.
#[derive(Clone, Debug, Default)]
pub struct Kafka {
    behind: Option<SocketAddr>,
    secured: Option<security::Secured>,
    properties: Vec<(String, String)>,
    for_load: bool,
}

impl Kafka {
    /// The port that clients use: [`Broker::address`](super::Broker::address).
    pub const DIRECT: &'static str = "direct";
    /// The port that a proxy forwards to.
    pub const PROXIED: &'static str = "proxied";
    const CONTROLLER: &'static str = "controller";
    /// Of a [secured](Self::secured) broker: the port that wants a login by SASL, without TLS.
    pub const LOGIN: &'static str = "login";
    /// Of a [secured](Self::secured) broker: the port that speaks TLS and wants no login.
    pub const ENCRYPTED: &'static str = "encrypted";
    /// Of a [secured](Self::secured) broker: the port that speaks TLS and wants a certificate of the client.
    pub const MUTUAL: &'static str = "mutual";
    /// Of a [secured](Self::secured) broker: the port that speaks TLS and wants a login by SASL.
    pub const SECURED: &'static str = "secured";
    /// The one user of a [secured](Self::secured) broker, by PLAIN and by SCRAM.
    pub const USER: &'static str = "ada";
    /// The user's password.
    pub const PASSWORD: &'static str = "pencil-and-paper";
    /// The scope that a token must have, for OAUTHBEARER with tokens that nobody signed.
    pub const SCOPE: &'static str = "kafka";

    /// Kafka as it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Advertises this address to clients that come through [`PROXIED`](Self::PROXIED).
    ///
    /// A client asks the address it knows for the cluster's metadata and then connects to whatever address that names. So a proxy is made
    /// first, its address is named here, and it is pointed at the broker once that runs:
    ///
    /// ```no_run
    /// # use testkit::brokers::{Broker, Kafka};
    /// # use testkit::proxy::Proxy;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let proxy = Proxy::listen()?;
    /// let kafka = Broker::start(Kafka::new().behind(proxy.address()))?;
    /// proxy.forward_to(kafka.address_of(Kafka::PROXIED));
    /// let through_the_proxy = proxy.address().to_string(); // bootstrap.servers of the connector
    /// let past_the_proxy = kafka.address().to_string(); // for the test, whatever the proxy does
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn behind(mut self, proxy: SocketAddr) -> Self {
        self.behind = Some(proxy);
        self
    }

    /// Lets the broker take the memory and the compiler that it has in production: for measurements. It starts as fast, and takes its
    /// processors from what it is measured with only while it warms up.
    #[must_use]
    pub fn for_load(mut self) -> Self {
        self.for_load = true;
        self
    }

    /// Sets a property of `server.properties`, in place of what stands there.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.properties.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Opens ports with TLS and logins besides: [`LOGIN`](Self::LOGIN), [`ENCRYPTED`](Self::ENCRYPTED), [`MUTUAL`](Self::MUTUAL) and
    /// [`SECURED`](Self::SECURED). The broker's certificate is the authority's and names 127.0.0.1 only. Logins are by PLAIN,
    /// SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER.
    ///
    /// # Errors
    ///
    /// No certificate could be made.
    pub fn secured(mut self, authority: &Authority) -> Result<Self, BrokerError> {
        self.secured = Some(security::Secured::by(authority)?);
        Ok(self)
    }

    fn properties(&self, node: &Node, log_dirs: &str) -> Vec<(String, String)> {
        let (direct, proxied) = (node.port(Self::DIRECT), node.port(Self::PROXIED));
        let controller = node.port(Self::CONTROLLER);
        let bind = node.bind();
        let behind = self.behind.map_or_else(|| format!("127.0.0.1:{proxied}"), |proxy| proxy.to_string());
        let listeners = format!(
            "DIRECT://{bind}:{direct},PROXIED://{bind}:{proxied},CONTROLLER://127.0.0.1:{controller}"
        );
        let advertised = format!("DIRECT://127.0.0.1:{direct},PROXIED://{behind}");
        let protocols = "CONTROLLER:PLAINTEXT,DIRECT:PLAINTEXT,PROXIED:PLAINTEXT";
        let more = self.secured.as_ref().map(|_| security::listeners(node)).unwrap_or_default();
        let [listeners, advertised, protocols] = [
            format!("{listeners}{}", more[0]),
            format!("{advertised}{}", more[1]),
            format!("{protocols}{}", more[2]),
        ];
        let voters = format!("1@127.0.0.1:{controller}");
        let ours: &[(&str, &str)] = &[
            ("process.roles", "broker,controller"),
            ("node.id", "1"),
            ("controller.quorum.voters", &voters),
            ("listeners", &listeners),
            ("advertised.listeners", &advertised),
            ("controller.listener.names", "CONTROLLER"),
            ("listener.security.protocol.map", &protocols),
            // Not through the proxy: its faults are for clients.
            ("inter.broker.listener.name", "DIRECT"),
            ("log.dirs", log_dirs),
            ("num.network.threads", "2"),
            ("num.io.threads", "2"),
            ("background.threads", "2"),
            ("num.partitions", "1"),
            ("default.replication.factor", "1"),
            ("min.insync.replicas", "1"),
            ("offsets.topic.replication.factor", "1"),
            ("offsets.topic.num.partitions", "1"),
            ("transaction.state.log.replication.factor", "1"),
            ("transaction.state.log.min.isr", "1"),
            ("transaction.state.log.num.partitions", "1"),
            ("share.coordinator.state.topic.replication.factor", "1"),
            ("share.coordinator.state.topic.min.isr", "1"),
            ("share.coordinator.state.topic.num.partitions", "1"),
            ("group.initial.rebalance.delay.ms", "0"),
            ("log.cleaner.dedupe.buffer.size", "2097152"),
            // With the defaults, a restart after SIGKILL waits nine seconds for the session of the dead broker to end.
            ("broker.session.timeout.ms", "2000"),
            ("broker.heartbeat.interval.ms", "500"),
        ];
        let mut all: Vec<(String, String)> =
            ours.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        all.extend(self.secured.iter().flat_map(security::properties));
        for (key, value) in &self.properties {
            all.retain(|(known, _)| known != key);
            all.push((key.clone(), value.clone()));
        }
        all
    }
}

impl Recipe for Kafka {
    fn name(&self) -> &'static str {
        "Kafka"
    }

    fn version(&self) -> &'static str {
        VERSION
    }

    fn software(&self) -> Software {
        let pom = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>testkit.brokers</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>{LOG4J}</version></dependency>
  </dependencies>
</project>
"#
        );
        // The serial collector and the first compiler: a test broker lives for seconds, beside others on few cores.
        let modest = ["-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
        let strong = ["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"];
        let common = [
            "-Djava.awt.headless=true",
            "-Djava.net.preferIPv4Stack=true",
            "-Dlog4j2.configurationFile=log4j2.properties",
        ];
        let size = if self.for_load { &strong[..] } else { &modest[..] };
        let jvm = size.iter().chain(&common).map(|word| (*word).to_owned()).collect();
        Software::Jars { pom, jvm }
    }

    fn ports(&self) -> &'static [&'static str] {
        const ALL: &[&str] = &[
            Kafka::DIRECT,
            Kafka::PROXIED,
            Kafka::CONTROLLER,
            Kafka::LOGIN,
            Kafka::ENCRYPTED,
            Kafka::MUTUAL,
            Kafka::SECURED,
        ];
        if self.secured.is_some() { ALL } else { &ALL[..3] }
    }

    fn files(&self, node: &Node) -> Vec<(&'static str, String)> {
        let log_dirs = node.dir().join("logs");
        let lines = self.properties(node, &log_dirs.to_string_lossy());
        let lines: String = lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let log4j = "status=error\n\
            appender.console.type=Console\n\
            appender.console.name=console\n\
            appender.console.layout.type=PatternLayout\n\
            appender.console.layout.pattern=[%d] %p %m (%c)%n\n\
            rootLogger.level=INFO\n\
            rootLogger.appenderRef.console.ref=console\n";
        vec![("server.properties", lines), ("log4j2.properties", log4j.to_owned())]
    }

    fn once(&self, _node: &Node) -> Vec<Program> {
        let arguments = ["format", "--cluster-id", CLUSTER, "--config", "server.properties"];
        let mut arguments: Vec<_> = arguments.map(str::to_owned).into();
        if self.secured.is_some() {
            arguments.extend(security::format_arguments());
        }
        vec![Program::new("kafka.tools.StorageTool", arguments)]
    }

    fn main(&self, _node: &Node) -> Program {
        Program::new("kafka.Kafka", ["server.properties"])
    }

    fn ready(&self, address: SocketAddr) -> Result<(), String> {
        let mut client = KafkaClient::connect(address).map_err(|e| format!("connect to {address}: {e}"))?;
        client.api_versions().map_err(|e| format!("ApiVersions: {e}"))?;
        let metadata = client.metadata().map_err(|e| format!("Metadata: {e}"))?;
        if metadata.brokers.is_empty() { Err("Metadata names no broker yet".to_owned()) } else { Ok(()) }
    }

    fn image(&self, node: &Node) -> Image {
        let mut environment: Vec<_> = self
            .properties(node, "/var/lib/kafka/data")
            .into_iter()
            .map(|(key, value)| (variable(&key), value))
            .collect();
        environment.push(("CLUSTER_ID".to_owned(), CLUSTER.to_owned()));
        environment.push(("KAFKA_HEAP_OPTS".to_owned(), "-Xms128m -Xmx384m".to_owned()));
        Image { name: format!("apache/kafka:{VERSION}"), environment }
    }
}

/// How the official image spells a property in its environment (KIP-975).
fn variable(property: &str) -> String {
    let spelt = property.replace('_', "__").replace('-', "___").replace('.', "_");
    format!("KAFKA_{}", spelt.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let ports = vec![(Kafka::DIRECT, 1), (Kafka::PROXIED, 2), (Kafka::CONTROLLER, 3)];
        Node { dir: "/data".into(), ports, bind: std::net::Ipv4Addr::LOCALHOST }
    }

    #[test]
    fn a_property_replaces_what_the_recipe_sets() {
        let properties = Kafka::new().with("num.partitions", "7").properties(&node(), "/data/logs");
        let found: Vec<_> = properties.iter().filter(|(key, _)| key == "num.partitions").collect();
        assert_eq!(found, [&("num.partitions".to_owned(), "7".to_owned())]);
    }

    #[test]
    fn only_the_proxied_port_is_advertised_as_the_proxy() {
        let proxy = SocketAddr::from(([127, 0, 0, 1], 9));
        let properties = Kafka::new().behind(proxy).properties(&node(), "/data/logs");
        let advertised = properties.iter().find(|(key, _)| key == "advertised.listeners");
        assert_eq!(advertised.unwrap().1, "DIRECT://127.0.0.1:1,PROXIED://127.0.0.1:9");
    }

    #[test]
    fn properties_are_spelt_as_the_official_image_reads_them() {
        assert_eq!(variable("advertised.listeners"), "KAFKA_ADVERTISED_LISTENERS");
        assert_eq!(variable("a.b-c_d"), "KAFKA_A_B___C__D");
    }
}
