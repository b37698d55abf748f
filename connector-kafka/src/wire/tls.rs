//! TLS by rustls.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use connector_api::{Error, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::transport::{Stream, broken};
use crate::error::KafkaError;
use crate::security::{Check, Pem, TlsOptions};

/// Makes TLS of connections.
#[derive(Clone)]
pub(super) struct Connector(Arc<ClientConfig>);

impl fmt::Debug for Connector {
    /// Without its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    /// Reads certificates and key.
    pub(super) fn of(options: &TlsOptions) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::config("properties.security.protocol", e.to_string()))?;
        let verifier: Arc<dyn ServerCertVerifier> = match options.check {
            Check::Nothing => Arc::new(Lenient { provider, roots: None }),
            Check::Chain => Arc::new(Lenient { provider, roots: Some(roots(options.authorities.as_ref())?) }),
            Check::All => {
                let roots = Arc::new(roots(options.authorities.as_ref())?);
                WebPkiServerVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|e| Error::config("properties.ssl.ca.location", e.to_string()))?
            }
        };
        // Not the usual way for the two lenient ones alone: so there is one place where a certificate is judged.
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let config = match &options.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                .map_err(|e| Error::config(key.option(), format!("is not the certificate's key: {e}")))?,
        };
        Ok(Self(Arc::new(config)))
    }

    pub(super) async fn connect(
        &self,
        address: &str,
        stream: TcpStream,
    ) -> std::result::Result<Box<dyn Stream>, KafkaError> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| KafkaError::Tls {
            address: address.to_owned(),
            reason: format!("`{host}` is no name that a certificate could have"),
        })?;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        let stream = connector.connect(name, stream).await.map_err(|source| broken(address, source))?;
        Ok(Box::new(stream))
    }
}

/// What TLS says of a connection that failed; none when the system broke it.
pub(super) fn reason(error: &io::Error) -> Option<String> {
    use rustls::{AlertDescription, Error};
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA),
        ) => Some(format!(
            "the broker wants a certificate of this client, and one that it trusts: see ssl.certificate.location ({alert:?})"
        )),
        Error::AlertReceived(alert) => Some(format!("the broker refuses this client: {alert:?}")),
        Error::InvalidCertificate(why) => Some(format!(
            "the broker's certificate is not accepted: {why}. Whom to trust is said by ssl.ca.location"
        )),
        Error::InvalidMessage(_) => {
            Some("what answers does not speak TLS: is this the port of another listener?".to_owned())
        }
        other => Some(other.to_string()),
    }
}

fn bytes(pem: &Pem) -> Result<Vec<u8>> {
    match pem {
        Pem::Text { text, .. } => Ok(text.expose().as_bytes().to_vec()),
        Pem::File { path, .. } => std::fs::read(path)
            .map_err(|e| Error::config(pem.option(), format!("`{}` can't be read: {e}", path.display()))),
    }
}

fn place(pem: &Pem) -> String {
    match pem {
        Pem::Text { .. } => String::new(),
        Pem::File { path, .. } => format!("`{}` ", path.display()),
    }
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = bytes(pem)?;
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<std::result::Result<Vec<_>, _>>();
    // The parser's words may quote what it read.
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| Error::config(pem.option(), format!("{}holds no certificates in PEM", place(pem))))
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&bytes(pem)?).map_err(|_| {
        let reason = format!(
            "{}holds no private key in PEM that is not encrypted (PKCS #8, PKCS #1 or SEC 1)",
            place(pem)
        );
        Error::config(pem.option(), reason)
    })
}

/// Whom to trust.
fn roots(authorities: Option<&Pem>) -> Result<RootCertStore> {
    let (option, found) = match authorities {
        Some(Pem::File { path, .. }) if path == Path::new("probe") => system()?,
        None => system()?,
        Some(pem @ Pem::File { path, .. }) if path.is_dir() => {
            let loaded = rustls_native_certs::load_certs_from_paths(None, Some(path));
            (pem.option(), loaded.certs)
        }
        Some(pem) => (pem.option(), certificates(pem)?),
    };
    let mut roots = RootCertStore::empty();
    // Systems carry a few that no check can use.
    roots.add_parsable_certificates(found);
    if roots.is_empty() {
        return Err(Error::config(option, "gives no certificate of an authority that can be used"));
    }
    Ok(roots)
}

fn system() -> Result<(String, Vec<CertificateDer<'static>>)> {
    let option = "properties.ssl.ca.location";
    let loaded = rustls_native_certs::load_native_certs();
    match (loaded.certs.is_empty(), loaded.errors.first()) {
        (true, why) => {
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            let reason = format!("is missing, and the system names no authorities that it trusts{why}");
            Err(Error::config(option, reason))
        }
        (false, _) => Ok((option.to_owned(), loaded.certs)),
    }
}

/// Takes certificates of any host, and without roots those of anybody. Signatures of the handshake are checked all the same.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    roots: Option<RootCertStore>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(certificate)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_api::secret::Secret;

    #[test]
    fn what_can_not_be_read_is_named_with_its_path() {
        let missing = Pem::File { property: "ssl.ca.location", path: "/nonexistent/ca.pem".into() };
        let error = Connector::of(&TlsOptions { authorities: Some(missing), ..TlsOptions::default() });
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("properties.ssl.ca.location") && error.contains("/nonexistent/ca.pem"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        let text = |property| Pem::Text { property, text: Secret::new("-----BEGIN hunter2") };
        let error = private_key(&text("ssl.key.pem")).unwrap_err().to_string();
        assert!(error.contains("properties.ssl.key.pem") && !error.contains("hunter2"), "{error}");
        let error = certificates(&text("ssl.certificate.pem")).unwrap_err().to_string();
        assert!(error.contains("properties.ssl.certificate.pem") && !error.contains("hunter2"), "{error}");
    }
}
