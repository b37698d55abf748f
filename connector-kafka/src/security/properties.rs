//! Reads the properties.

use std::collections::BTreeMap;

use connector_api::secret::Secret;
use connector_api::{Error, Result};

use super::{Check, Credentials, Hash, Pem, Sasl, Security, TlsOptions, UnsecuredToken};

const PROTOCOL: &str = "security.protocol";
const MECHANISM: &str = "sasl.mechanism";
const MECHANISMS: &str = "sasl.mechanisms";
const USER: &str = "sasl.username";
const PASSWORD: &str = "sasl.password";
const UNSECURED: &str = "enable.sasl.oauthbearer.unsecure.jwt";
const TOKEN: &str = "sasl.oauthbearer.config";
const TOKEN_METHOD: &str = "sasl.oauthbearer.method";
const CA_FILE: &str = "ssl.ca.location";
const CA_TEXT: &str = "ssl.ca.pem";
const CERTIFICATE_FILE: &str = "ssl.certificate.location";
const CERTIFICATE_TEXT: &str = "ssl.certificate.pem";
const KEY_FILE: &str = "ssl.key.location";
const KEY_TEXT: &str = "ssl.key.pem";
const HOST_CHECK: &str = "ssl.endpoint.identification.algorithm";
const CHECK: &str = "enable.ssl.certificate.verification";

/// What our own client speaks beside [`PROTOCOL`]: properties of logins, and of TLS.
const OF_SASL: &[&str] = &[MECHANISM, MECHANISMS, USER, PASSWORD, UNSECURED, TOKEN, TOKEN_METHOD];
const OF_TLS: &[&str] =
    &[CA_FILE, CA_TEXT, CERTIFICATE_FILE, CERTIFICATE_TEXT, KEY_FILE, KEY_TEXT, HOST_CHECK, CHECK];

/// What works instead, as errors end.
const INSTEAD: &str = "`delivery_guarantee` = \"at-least-once\" works with it, \"exactly-once\" does not";

/// Whether a property is about security.
fn is_security(name: &str) -> bool {
    ["security.", "sasl.", "ssl.", "enable.ssl", "enable.sasl", "https.ca."]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// What the properties ask for, if our own client can do it.
///
/// # Errors
///
/// [`Error::Config`] naming the first property that it can't follow, with the reason; never a value that may be secret.
pub(crate) fn parse(properties: &BTreeMap<String, String>) -> Result<Security> {
    let given = Given(properties);
    let is_spoken = |name: &str| name == PROTOCOL || OF_SASL.contains(&name) || OF_TLS.contains(&name);
    if let Some(name) = properties.keys().find(|name| is_security(name) && !is_spoken(name)) {
        return Err(unspoken(name, "is a security property that", hint(name)));
    }
    let (has_tls, has_sasl) = match &*given.get(PROTOCOL).unwrap_or("plaintext").to_ascii_lowercase() {
        "plaintext" => (false, false),
        "ssl" => (true, false),
        "sasl_plaintext" => (false, true),
        "sasl_ssl" => (true, true),
        _ => return Err(given.unknown(PROTOCOL, "plaintext, ssl, sasl_plaintext and sasl_ssl")),
    };
    for (is_on, names, protocols) in
        [(has_tls, OF_TLS, "ssl or sasl_ssl"), (has_sasl, OF_SASL, "sasl_plaintext or sasl_ssl")]
    {
        if let (false, Some(name)) = (is_on, names.iter().find(|name| properties.contains_key(**name))) {
            let reason = format!("has no effect unless `properties.{PROTOCOL}` is {protocols}");
            return Err(config(name, reason));
        }
    }
    let tls = if has_tls { Some(tls(&given)?) } else { None };
    let sasl = if has_sasl { Some(sasl(&given)?) } else { None };
    Ok(Security { tls, sasl })
}

fn config(name: &str, reason: impl Into<String>) -> Error {
    Error::config(format!("properties.{name}"), reason)
}

fn unspoken(name: &str, what: &str, hint: &str) -> Error {
    let reason = format!(
        "{what} our own client, which commits what a dead process prepared, can't speak{hint}: {INSTEAD}"
    );
    config(name, reason)
}

/// What does the same and is spoken.
fn hint(name: &str) -> &'static str {
    match name {
        "ssl.key.password" => " (it reads a key that is not encrypted)",
        _ if name.starts_with("ssl.keystore") => {
            " (it takes certificate and key from `ssl.certificate.location` and `ssl.key.location`)"
        }
        _ if name.starts_with("sasl.kerberos") || name.starts_with("sasl.oauthbearer") => {
            " (it logs in by PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, or OAUTHBEARER with unsecured tokens)"
        }
        _ => "",
    }
}

struct Given<'a>(&'a BTreeMap<String, String>);

impl Given<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn needed(&self, name: &str, why: &str) -> Result<&str> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| config(name, format!("is missing: {why}")))
    }

    /// For properties that hold no secrets.
    fn unknown(&self, name: &str, known: &str) -> Error {
        config(name, format!("is `{}`; known are {known}", self.get(name).unwrap_or_default()))
    }

    /// As librdkafka reads them.
    fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match &*self.get(name).map(str::to_ascii_lowercase).unwrap_or_default() {
            "" => Ok(default),
            "true" | "t" | "1" => Ok(true),
            "false" | "f" | "0" => Ok(false),
            _ => Err(self.unknown(name, "true and false")),
        }
    }

    /// Of a file or of a text, not of both.
    fn pem(&self, file: &'static str, text: &'static str) -> Result<Option<Pem>> {
        match (self.get(file), self.get(text)) {
            (Some(_), Some(_)) => Err(config(text, format!("stands beside `{file}`: one of them decides"))),
            (Some(path), None) => Ok(Some(Pem::File { property: file, path: path.into() })),
            (None, Some(content)) => Ok(Some(Pem::Text { property: text, text: Secret::new(content) })),
            (None, None) => Ok(None),
        }
    }
}

fn tls(given: &Given<'_>) -> Result<TlsOptions> {
    let authorities = given.pem(CA_FILE, CA_TEXT)?;
    let certificate = given.pem(CERTIFICATE_FILE, CERTIFICATE_TEXT)?;
    let key = given.pem(KEY_FILE, KEY_TEXT)?;
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(config(KEY_FILE, "is missing: a certificate is nothing without its key"));
        }
        (None, Some(_)) => {
            return Err(config(CERTIFICATE_FILE, "is missing: a key is nothing without its certificate"));
        }
    };
    let checks_host = match given.get(HOST_CHECK) {
        None => true,
        Some(value) if value.eq_ignore_ascii_case("https") => true,
        Some(value) if value.eq_ignore_ascii_case("none") => false,
        Some(_) => return Err(given.unknown(HOST_CHECK, "https and none")),
    };
    let check = match (given.flag(CHECK, true)?, checks_host) {
        (true, true) => Check::All,
        (true, false) => Check::Chain,
        (false, _) => Check::Nothing,
    };
    Ok(TlsOptions { authorities, identity, check })
}

fn sasl(given: &Given<'_>) -> Result<Sasl> {
    const KNOWN: &str = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER";
    let (name, mechanism) = match (given.get(MECHANISM), given.get(MECHANISMS)) {
        (Some(one), Some(other)) if one != other => {
            return Err(config(
                MECHANISMS,
                format!("says another thing than `{MECHANISM}`: give one of them"),
            ));
        }
        (Some(mechanism), _) => (MECHANISM, mechanism),
        (None, Some(mechanism)) => (MECHANISMS, mechanism),
        (None, None) => return Err(config(MECHANISM, format!("is missing: spoken are {KNOWN}"))),
    };
    match mechanism {
        "PLAIN" => Ok(Sasl::Plain(credentials(given, mechanism)?)),
        "SCRAM-SHA-256" => Ok(Sasl::Scram(Hash::Sha256, credentials(given, mechanism)?)),
        "SCRAM-SHA-512" => Ok(Sasl::Scram(Hash::Sha512, credentials(given, mechanism)?)),
        "OAUTHBEARER" => unsecured(given),
        "GSSAPI" => Err(unspoken(
            name,
            "is GSSAPI, which",
            " (spoken are PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER)",
        )),
        _ => Err(given.unknown(name, KNOWN)),
    }
}

fn credentials(given: &Given<'_>, mechanism: &str) -> Result<Credentials> {
    let why = format!("{mechanism} needs a name and a password");
    let user = given.needed(USER, &why)?.to_owned();
    let password = Secret::new(given.needed(PASSWORD, &why)?);
    for (name, text) in [(USER, user.as_str()), (PASSWORD, password.expose())] {
        if text.contains('\0') {
            return Err(config(name, "holds a character of code 0, which no mechanism carries"));
        }
    }
    Ok(Credentials { user, password })
}

fn unsecured(given: &Given<'_>) -> Result<Sasl> {
    if given.get(TOKEN_METHOD).is_some_and(|method| !method.eq_ignore_ascii_case("default")) {
        return Err(unspoken(TOKEN_METHOD, "asks for tokens of an identity provider, which", ""));
    }
    if !given.flag(UNSECURED, false)? {
        return Err(unspoken(
            MECHANISM,
            "is OAUTHBEARER with tokens that a program hands in, which",
            &format!(" (with `{UNSECURED}` = \"true\" it makes unsecured tokens, as librdkafka does)"),
        ));
    }
    let text = given.needed(TOKEN, "an unsecured token needs at least principal=NAME")?;
    Ok(Sasl::Unsecured(UnsecuredToken::parse(text).map_err(|why| config(TOKEN, why))?))
}

#[cfg(test)]
#[path = "properties_tests.rs"]
mod tests;
