//! Logs a connection in, right after it is made.

mod calls;
#[cfg(feature = "tls")]
mod scram;

use std::time::Duration;

use bytes::Bytes;
use connector_api::env::Environment;

pub(crate) use calls::{SaslAuthenticate, SaslHandshake};

use super::calls::Call;
use super::connection::Connection;
use crate::error::{KafkaError, name_of};
use crate::security::{Credentials, Sasl};

/// Logs in. Gives how long that holds; none is for ever.
pub(super) async fn log_in(
    connection: &mut Connection,
    sasl: &Sasl,
    env: &Environment,
) -> Result<Option<Duration>, KafkaError> {
    let mut talk = Talk { connection, mechanism: sasl.mechanism(), lifetime: None };
    let (code, known) = talk.connection.call(&SaslHandshake(talk.mechanism)).await?;
    if code != 0 {
        let known = known.join(", ");
        return Err(talk.refused(format!(
            "{} was answered {}; it takes {known}",
            SaslHandshake::NAME,
            name_of(code)
        )));
    }
    match sasl {
        Sasl::Plain(credentials) => drop(talk.say(plain(credentials)).await?),
        #[cfg(feature = "tls")]
        Sasl::Scram(hash, credentials) => {
            let nonce = scram::nonce().map_err(|why| talk.refused(why.to_owned()))?;
            let client = scram::Client::new(*hash, credentials, &nonce);
            let challenge = talk.say(client.first().into_bytes()).await?;
            let (answer, proof) = client.answer(&challenge).map_err(|why| talk.refused(why.into_owned()))?;
            let last = talk.say(answer.into_bytes()).await?;
            proof.check(&last).map_err(|why| talk.refused(why.into_owned()))?;
        }
        #[cfg(feature = "tls")]
        Sasl::Unsecured(token) => {
            let made = token.token(env.clock.now_millis());
            let refusal = talk.say(bearer(&made, &token.extensions)).await?;
            if !refusal.is_empty() {
                // The error is in the message; one more makes the broker say so in its own way (RFC 7628, section 3.2.3).
                let refusal = String::from_utf8_lossy(&refusal).into_owned();
                return Err(match talk.say(vec![1]).await {
                    Ok(_) => talk.refused(refusal),
                    Err(KafkaError::Authentication { address, mechanism, reason }) => {
                        KafkaError::Authentication {
                            address,
                            mechanism,
                            reason: format!("{reason} {refusal}"),
                        }
                    }
                    Err(other) => other,
                });
            }
        }
        // Properties that ask for these are refused before they come here.
        #[cfg(not(feature = "tls"))]
        Sasl::Scram(..) | Sasl::Unsecured(_) => {
            let _ = env;
            return Err(talk.refused("is not in this build, which lacks the feature `tls`".to_owned()));
        }
    }
    Ok(talk.lifetime)
}

struct Talk<'a> {
    connection: &'a mut Connection,
    mechanism: &'static str,
    lifetime: Option<Duration>,
}

impl Talk<'_> {
    /// Sends a message of the mechanism; gives the broker's.
    async fn say(&mut self, message: Vec<u8>) -> Result<Vec<u8>, KafkaError> {
        let answer = self.connection.call(&SaslAuthenticate(Bytes::from(message))).await?;
        if answer.code != 0 {
            let said = answer.message.map(|said| format!(": {said}")).unwrap_or_default();
            return Err(self.refused(format!("{}{said}", name_of(answer.code))));
        }
        self.lifetime =
            u64::try_from(answer.lifetime_ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis);
        Ok(answer.bytes)
    }

    fn refused(&self, reason: String) -> KafkaError {
        let address = self.connection.address().to_owned();
        KafkaError::Authentication { address, mechanism: self.mechanism, reason }
    }
}

/// RFC 4616.
fn plain(Credentials { user, password }: &Credentials) -> Vec<u8> {
    format!("\0{user}\0{}", password.expose()).into_bytes()
}

/// RFC 7628, section 3.1.
#[cfg(feature = "tls")]
fn bearer(token: &str, extensions: &[(String, String)]) -> Vec<u8> {
    let extensions: String = extensions.iter().map(|(name, value)| format!("{name}={value}\x01")).collect();
    format!("n,,\x01auth=Bearer {token}\x01{extensions}\x01").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_api::secret::Secret;

    #[test]
    fn a_plain_message_has_name_and_password() {
        let credentials = Credentials { user: "ada".to_owned(), password: Secret::new("hunter2") };
        assert_eq!(plain(&credentials), b"\0ada\0hunter2");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_bearer_message_has_the_token_and_its_extensions() {
        let extensions = [("trace".to_owned(), "7".to_owned())];
        assert_eq!(bearer("t", &extensions), b"n,,\x01auth=Bearer t\x01trace=7\x01\x01");
        assert_eq!(bearer("t", &[]), b"n,,\x01auth=Bearer t\x01\x01");
    }
}
