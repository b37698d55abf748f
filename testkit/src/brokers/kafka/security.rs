//! Certificates, users and listeners of a broker that lets nobody in unasked.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};

use super::super::BrokerError;
use super::super::recipe::Node;
use super::Kafka;

/// An authority that makes certificates, for one test.
#[derive(Debug)]
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, both in PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key (PKCS #8), not encrypted.
    pub key: String,
}

fn failed(error: rcgen::Error) -> BrokerError {
    BrokerError::Io { doing: "make a certificate".to_owned(), source: std::io::Error::other(error) }
}

impl Authority {
    /// A new one, which nobody trusts yet.
    ///
    /// # Errors
    ///
    /// The system gives no random bytes.
    pub fn new() -> Result<Self, BrokerError> {
        let mut parameters = CertificateParams::default();
        // Two of one name would be taken for each other, until a signature is checked.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("testkit {}", COUNT.fetch_add(1, Ordering::Relaxed));
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = parameters.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(parameters, key) })
    }

    /// Its own certificate in PEM: who trusts that trusts what it makes.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate of this name. With an address it is a server's that clients find under exactly that address.
    ///
    /// # Errors
    ///
    /// The system gives no random bytes.
    pub fn identity(&self, name: &str, address: Option<IpAddr>) -> Result<Identity, BrokerError> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.subject_alt_names = address.map(SanType::IpAddress).into_iter().collect();
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = parameters.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        Ok(Identity { certificate, key: key.serialize_pem() })
    }
}

/// What the secured listeners stand on.
#[derive(Clone, Debug)]
pub(super) struct Secured {
    authority: String,
    server: Identity,
}

impl Secured {
    pub(super) fn by(authority: &Authority) -> Result<Self, BrokerError> {
        let server = authority.identity("broker", Some(Ipv4Addr::LOCALHOST.into()))?;
        Ok(Self { authority: authority.certificate.clone(), server })
    }
}

/// Port, name of the listener, protocol.
pub(super) const LISTENERS: [(&str, &str, &str); 4] = [
    (Kafka::LOGIN, "LOGIN", "SASL_PLAINTEXT"),
    (Kafka::ENCRYPTED, "ENCRYPTED", "SSL"),
    (Kafka::MUTUAL, "MUTUAL", "SSL"),
    (Kafka::SECURED, "SECURED", "SASL_SSL"),
];

/// Listeners, as the three properties about them go on.
pub(super) fn listeners(node: &Node) -> [String; 3] {
    let mut all = [const { String::new() }; 3];
    for (port, name, protocol) in LISTENERS {
        let number = node.port(port);
        all[0] += &format!(",{name}://{}:{number}", node.bind());
        all[1] += &format!(",{name}://127.0.0.1:{number}");
        all[2] += &format!(",{name}:{protocol}");
    }
    all
}

/// Further properties.
pub(super) fn properties(secured: &Secured) -> Vec<(String, String)> {
    const LOGINS: &str = "org.apache.kafka.common.security";
    let (user, password) = (Kafka::USER, Kafka::PASSWORD);
    // Blanks stand for the ends of lines: so a property is one line, in files and in the environment.
    let line = |pem: &str| pem.trim().replace('\n', " ");
    let mut all = vec![
        ("ssl.keystore.type".to_owned(), "PEM".to_owned()),
        ("ssl.keystore.certificate.chain".to_owned(), line(&secured.server.certificate)),
        ("ssl.keystore.key".to_owned(), line(&secured.server.key)),
        ("ssl.truststore.type".to_owned(), "PEM".to_owned()),
        ("ssl.truststore.certificates".to_owned(), line(&secured.authority)),
        ("listener.name.mutual.ssl.client.auth".to_owned(), "required".to_owned()),
    ];
    let bearer = format!(
        "{LOGINS}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\" \
         unsecuredValidatorRequiredScope=\"{}\";",
        Kafka::SCOPE
    );
    let plain = format!("{LOGINS}.plain.PlainLoginModule required user_{user}=\"{password}\";");
    let scram = format!("{LOGINS}.scram.ScramLoginModule required;");
    for listener in ["login", "secured"] {
        let mut property = |key: &str, value: &str| {
            all.push((format!("listener.name.{listener}.{key}"), value.to_owned()));
        };
        property("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER");
        property("plain.sasl.jaas.config", &plain);
        property("scram-sha-256.sasl.jaas.config", &scram);
        property("scram-sha-512.sasl.jaas.config", &scram);
        property("oauthbearer.sasl.jaas.config", &bearer);
    }
    all
}

/// What formatting the disk is told, so that there is a user for SCRAM.
pub(super) fn format_arguments() -> Vec<String> {
    let of = |hash: &str| {
        let (user, password) = (Kafka::USER, Kafka::PASSWORD);
        format!("SCRAM-SHA-{hash}=[name={user},password={password},iterations=4096]")
    };
    vec!["--add-scram".to_owned(), of("256"), "--add-scram".to_owned(), of("512")]
}

#[cfg(test)]
mod tests {
    use super::super::super::recipe::Recipe;
    use super::*;

    #[test]
    fn a_secured_broker_has_more_ports_and_each_property_is_one_line() {
        let kafka = Kafka::new().secured(&Authority::new().unwrap()).unwrap();
        assert_eq!(kafka.ports().len(), Kafka::new().ports().len() + LISTENERS.len());
        let ports = kafka.ports().iter().zip(1..).map(|(name, port)| (*name, port)).collect();
        let node = Node { dir: "/data".into(), ports, bind: Ipv4Addr::LOCALHOST };
        let properties = kafka.properties(&node, "/data/logs");
        assert!(properties.iter().all(|(_, value)| !value.contains('\n')));
        let found = |key: &str| properties.iter().find(|(known, _)| known == key).map(|(_, value)| value);
        assert!(found("listeners").unwrap().contains(",SECURED://127.0.0.1:7"), "{:?}", found("listeners"));
        assert!(found("listener.security.protocol.map").unwrap().contains(",LOGIN:SASL_PLAINTEXT,"));
        assert!(found("ssl.keystore.key").unwrap().starts_with("-----BEGIN PRIVATE KEY----- "));
    }
}
