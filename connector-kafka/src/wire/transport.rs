//! What carries bytes to a broker: TCP, or TLS over it.

use std::io;

use connector_api::Result;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

#[cfg(feature = "tls")]
use super::tls::Connector;
use crate::error::KafkaError;
use crate::security::{Sasl, Security};

/// A stream of bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// How connections are made, and who they log in as.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transport {
    #[cfg(feature = "tls")]
    tls: Option<Connector>,
    pub(super) sasl: Option<Sasl>,
}

impl Transport {
    /// Reads the files that are named.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](connector_api::Error::Config) naming the property of what can't be read.
    pub(crate) fn of(security: Security) -> Result<Self> {
        // Without the feature, properties that ask for TLS are refused before they come here.
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: security.tls.as_ref().map(Connector::of).transpose()?,
            sasl: security.sasl,
        })
    }

    pub(super) async fn connect(&self, address: &str) -> std::result::Result<Box<dyn Stream>, KafkaError> {
        let stream = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = stream.await.map_err(|source| broken(address, source))?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.connect(address, stream).await;
        }
        Ok(Box::new(stream))
    }
}

/// A connection that failed: by what TLS says, which a new connection meets again, or by the system.
pub(super) fn broken(address: &str, source: io::Error) -> KafkaError {
    #[cfg(feature = "tls")]
    if let Some(reason) = super::tls::reason(&source) {
        return KafkaError::Tls { address: address.to_owned(), reason };
    }
    KafkaError::Connection { address: address.to_owned(), source }
}
