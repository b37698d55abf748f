//! Security in librdkafka's property names, as our own client speaks it.
//!
//! Two clients reach a cluster: librdkafka, which reads and writes, and our own, which ends what a dead process prepared. Users say
//! once, in `properties`, how both get in. So what ours can't do is refused by name before anything is written.

mod feature;
mod properties;
mod token;
mod tokens;

use std::fmt;
use std::path::PathBuf;

use connector_api::secret::Secret;

pub(crate) use feature::require;
pub(crate) use properties::parse;
pub(crate) use token::UnsecuredToken;
pub(crate) use tokens::Tokens;

/// How a connection is protected, and who it speaks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Security {
    pub(crate) tls: Option<TlsOptions>,
    pub(crate) sasl: Option<Sasl>,
}

/// What TLS is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    /// Who may vouch for brokers; none is whom the system trusts.
    pub(crate) authorities: Option<Pem>,
    /// Certificate and key that this client shows.
    pub(crate) identity: Option<(Pem, Pem)>,
    pub(crate) check: Check,
}

/// What of a broker's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Check {
    /// That an authority vouches for it, and that it is the host's.
    #[default]
    All,
    /// Not whose it is: `ssl.endpoint.identification.algorithm` = "none".
    Chain,
    /// Nothing: `enable.ssl.certificate.verification` = "false".
    Nothing,
}

/// Where something in PEM is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Pem {
    File {
        /// The property that names it, for errors.
        property: &'static str,
        path: PathBuf,
    },
    Text {
        property: &'static str,
        text: Secret,
    },
}

impl Pem {
    /// As errors name it.
    pub(crate) fn option(&self) -> String {
        let (Self::File { property, .. } | Self::Text { property, .. }) = self;
        format!("properties.{property}")
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => path.fmt(f),
            Self::Text { text, .. } => text.fmt(f),
        }
    }
}

/// How this client says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sasl {
    Plain(Credentials),
    Scram(Hash, Credentials),
    /// OAUTHBEARER with tokens that nobody signed.
    Unsecured(UnsecuredToken),
}

impl Sasl {
    /// As the protocol and the properties name it.
    pub(crate) fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain(_) => "PLAIN",
            Self::Scram(Hash::Sha256, _) => "SCRAM-SHA-256",
            Self::Scram(Hash::Sha512, _) => "SCRAM-SHA-512",
            Self::Unsecured(_) => "OAUTHBEARER",
        }
    }
}

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

/// Name and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Secret,
}
