//! The two calls of a login.

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, SaslAuthenticateRequest, SaslHandshakeRequest};

use crate::wire::calls::{Call, Read, text};
use crate::wire::fields::Fields;

/// Asks for a mechanism; the answer is a code, and which mechanisms there are.
pub(crate) struct SaslHandshake<'a>(pub(crate) &'a str);

impl Call for SaslHandshake<'_> {
    type Request = SaslHandshakeRequest;
    type Answer = (i16, Vec<String>);
    const KEY: ApiKey = ApiKey::SaslHandshake;
    const NAME: &'static str = "SaslHandshake";
    // Behind version 0, bytes of the mechanism come without a frame.
    const TRIED: (i16, i16) = (1, 1);
    const FLEXIBLE: i16 = i16::MAX;

    fn request(&self) -> SaslHandshakeRequest {
        SaslHandshakeRequest::default().with_mechanism(text(self.0))
    }

    fn read(&self, answer: &mut Fields<'_>) -> Read<Self::Answer> {
        Ok((answer.i16()?, answer.array(Fields::name)?))
    }
}

/// A message of the mechanism, within a request (KIP-152).
pub(crate) struct SaslAuthenticate(pub(crate) Bytes);

/// The broker's message.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Authenticated {
    pub(crate) code: i16,
    pub(crate) message: Option<String>,
    pub(crate) bytes: Vec<u8>,
    /// How long the login holds; 0 is for ever (KIP-368).
    pub(crate) lifetime_ms: i64,
}

impl Call for SaslAuthenticate {
    type Request = SaslAuthenticateRequest;
    type Answer = Authenticated;
    const KEY: ApiKey = ApiKey::SaslAuthenticate;
    const NAME: &'static str = "SaslAuthenticate";
    const TRIED: (i16, i16) = (2, 2);
    const FLEXIBLE: i16 = 2;

    fn request(&self) -> SaslAuthenticateRequest {
        SaslAuthenticateRequest::default().with_auth_bytes(self.0.clone())
    }

    fn read(&self, answer: &mut Fields<'_>) -> Read<Authenticated> {
        let (code, message, bytes) = (answer.i16()?, answer.text()?, answer.bytes()?);
        let lifetime_ms = answer.i64()?;
        Ok(Authenticated { code, message, bytes, lifetime_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_says_and_how_long_a_login_holds_are_read() {
        let call = SaslAuthenticate(Bytes::new());
        let new = [0, 58, 2, b'x', 1, 0, 0, 0, 0, 0, 0, 0, 9, 0];
        let new = call.read(&mut Fields::new(&new, true)).unwrap();
        assert_eq!((new.code, new.message.as_deref(), new.lifetime_ms), (58, Some("x"), 9));
    }
}
