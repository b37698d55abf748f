//! SCRAM (RFC 5802, with SHA-256 of RFC 7677 and with SHA-512 in the same way), without channel binding, as Kafka has it.
//!
//! Passwords are taken byte by byte: neither Kafka nor librdkafka prepares them (SASLprep).

use std::borrow::Cow;
use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};

use crate::security::{Credentials, Hash};

type Result<T> = std::result::Result<T, Cow<'static, str>>;

/// The fewest iterations that are taken (RFC 7677, section 4): fewer would make the password cheap to guess for who listens.
const FEWEST: u32 = 4_096;
/// The most: a broker must not keep this client busy for long.
const MOST: u32 = 1_000_000;

/// Something that nobody can foresee. Not of the environment's randomness, which is not for secrets: a nonce that comes again would
/// let an old login be played back.
pub(super) fn nonce() -> std::result::Result<String, &'static str> {
    let mut bytes = [0; 24];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random bytes")?;
    Ok(STANDARD.encode(bytes))
}

/// One login.
pub(super) struct Client<'a> {
    hash: Hash,
    password: &'a str,
    nonce: &'a str,
    first_bare: String,
}

/// What the broker must show at the end, to have known the password.
pub(super) struct Proof {
    key: hmac::Key,
    message: String,
}

impl<'a> Client<'a> {
    pub(super) fn new(hash: Hash, credentials: &'a Credentials, nonce: &'a str) -> Self {
        let user = credentials.user.replace('=', "=3D").replace(',', "=2C");
        Self {
            hash,
            password: credentials.password.expose(),
            nonce,
            first_bare: format!("n={user},r={nonce}"),
        }
    }

    /// `client-first-message`.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// `client-final-message`, for a `server-first-message`.
    pub(super) fn answer(&self, challenge: &[u8]) -> Result<(String, Proof)> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| "its challenge is not UTF-8")?;
        let mut parts = challenge.split(',');
        let mut part = |name: &str| {
            let found = parts.next().and_then(|part| part.strip_prefix(name));
            found.ok_or("its challenge lacks a nonce, a salt or a number of iterations")
        };
        let (nonce, salt, iterations) = (part("r=")?, part("s=")?, part("i=")?);
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(self.nonce) {
            return Err("its nonce does not go on from this client's".into());
        }
        let salt = STANDARD.decode(salt).map_err(|_| "its salt is not in base64")?;
        let iterations = iterations.parse().ok().filter(|count| (FEWEST..=MOST).contains(count));
        let iterations = iterations.and_then(NonZeroU32::new);
        let iterations = iterations
            .ok_or_else(|| format!("it asks for iterations that are not within {FEWEST} and {MOST}"))?;
        let (salted, mac, hash) = self.salted(&salt, iterations);
        let salted = hmac::Key::new(mac, &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(hash, client_key.as_ref());
        // "biws" is "n,," in base64: no channel is bound.
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{challenge},{without_proof}", self.first_bare);
        let signature = hmac::sign(&hmac::Key::new(mac, stored_key.as_ref()), message.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, signed)| key ^ signed).collect();
        let server_key = hmac::sign(&salted, b"Server Key");
        let proved = Proof { key: hmac::Key::new(mac, server_key.as_ref()), message };
        Ok((format!("{without_proof},p={}", STANDARD.encode(proof)), proved))
    }

    /// `SaltedPassword`, with what the mechanism hashes by.
    fn salted(
        &self,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> (Vec<u8>, hmac::Algorithm, &'static digest::Algorithm) {
        let (stretch, mac, hash) = match self.hash {
            Hash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, hmac::HMAC_SHA256, &digest::SHA256),
            Hash::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, hmac::HMAC_SHA512, &digest::SHA512),
        };
        let mut salted = vec![0; hash.output_len()];
        pbkdf2::derive(stretch, iterations, salt, self.password.as_bytes(), &mut salted);
        (salted, mac, hash)
    }
}

impl Proof {
    /// Checks the `server-final-message`: who does not know the password can't sign.
    pub(super) fn check(&self, last: &[u8]) -> Result<()> {
        let last = String::from_utf8_lossy(last);
        let first = last.split(',').next().unwrap_or_default();
        if let Some(error) = first.strip_prefix("e=") {
            return Err(error.to_owned().into());
        }
        let signature = first.strip_prefix("v=").and_then(|text| STANDARD.decode(text).ok());
        let signature = signature.ok_or("its last message has no signature")?;
        hmac::verify(&self.key, self.message.as_bytes(), &signature)
            .map_err(|_| "the broker's signature is wrong: it does not know the password".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_api::secret::Secret;

    fn credentials(user: &str) -> Credentials {
        Credentials { user: user.to_owned(), password: Secret::new("pencil") }
    }

    /// RFC 7677, section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const LAST: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    #[test]
    fn the_exchange_of_the_rfc_comes_out() {
        let credentials = credentials("user");
        let client = Client::new(Hash::Sha256, &credentials, NONCE);
        assert_eq!(client.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (answer, proof) = client.answer(CHALLENGE.as_bytes()).unwrap();
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(answer, expected);
        assert_eq!(proof.check(LAST.as_bytes()), Ok(()));
    }

    #[test]
    fn a_wrong_signature_of_the_broker_is_noticed() {
        let credentials = credentials("user");
        let (_, proof) = Client::new(Hash::Sha256, &credentials, NONCE).answer(CHALLENGE.as_bytes()).unwrap();
        for last in
            ["v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "v=", "v=6rri", "", "x", "e=invalid-proof"]
        {
            assert!(proof.check(last.as_bytes()).is_err(), "{last}");
        }
    }

    #[test]
    fn challenges_that_can_not_be_trusted_are_refused() {
        let credentials = credentials("user");
        let client = Client::new(Hash::Sha512, &credentials, "abc");
        for challenge in [
            "r=abc,s=W22Z,i=4096",
            "r=xbcdef,s=W22Z,i=4096",
            "r=abcdef,s=W22Z,i=4095",
            "r=abcdef,s=W22Z,i=1000001",
            "r=abcdef,s=W22Z,i=-1",
            "r=abcdef,s=?,i=4096",
            "m=ext,r=abcdef,s=W22Z,i=4096",
            "r=abcdef",
            "",
        ] {
            assert!(client.answer(challenge.as_bytes()).is_err(), "{challenge}");
        }
        assert!(client.answer(b"r=abcdef,s=W22Z,i=4096,x=later").is_ok());
    }

    #[test]
    fn names_are_escaped_and_nonces_do_not_come_again() {
        let credentials = credentials("a=b,c");
        assert_eq!(Client::new(Hash::Sha256, &credentials, "n").first(), "n,,n=a=3Db=2Cc,r=n");
        assert_ne!(nonce(), nonce());
    }
}
