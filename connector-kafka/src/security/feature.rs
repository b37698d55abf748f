//! What a build without the feature `tls` can't do, said before a client is made: the library's own words name no feature.

use std::collections::BTreeMap;

use connector_api::{Error, Result};

/// Whether this build has TLS, and what the library makes of OpenSSL besides.
const HAS_TLS: bool = cfg!(feature = "tls");

/// Refuses properties that need the feature `tls` in a build without it.
///
/// # Errors
///
/// [`Error::Config`] naming the property and the feature.
pub(crate) fn require(properties: &BTreeMap<String, String>) -> Result<()> {
    check(properties, HAS_TLS)
}

fn check(properties: &BTreeMap<String, String>, has_tls: bool) -> Result<()> {
    let found = properties.iter().find(|(name, value)| needs_tls(name, value));
    match found {
        Some((name, value)) if !has_tls => {
            // Of these two the value is no secret, and says why.
            let is_choice = name == "security.protocol" || name.starts_with("sasl.mechanism");
            let what = if is_choice { format!("is `{value}`, which") } else { "is about what".to_owned() };
            let reason = format!(
                "{what} this build does not have: build with the feature `tls` of connector-kafka (`kafka-tls` of connect), which \
                 needs libssl-dev and pkg-config"
            );
            Err(Error::config(format!("properties.{name}"), reason))
        }
        _ => Ok(()),
    }
}

fn needs_tls(name: &str, value: &str) -> bool {
    match name {
        "security.protocol" => ["ssl", "sasl_ssl"].iter().any(|tls| value.eq_ignore_ascii_case(tls)),
        "sasl.mechanism" | "sasl.mechanisms" => value.starts_with("SCRAM-") || value == "OAUTHBEARER",
        _ => ["ssl.", "enable.ssl", "enable.sasl.oauthbearer", "sasl.oauthbearer"]
            .iter()
            .any(|prefix| name.starts_with(prefix)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, value: &str, has_tls: bool) -> Result<()> {
        check(&[(name.to_owned(), value.to_owned())].into(), has_tls)
    }

    #[test]
    fn what_needs_tls_names_the_feature_where_it_is_missing() {
        for (name, value) in [
            ("security.protocol", "SSL"),
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("sasl.mechanisms", "SCRAM-SHA-512"),
            ("sasl.mechanisms", "OAUTHBEARER"),
            ("ssl.ca.location", "/ca.pem"),
            ("ssl.key.pem", "hidden"),
            ("enable.ssl.certificate.verification", "false"),
            ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ] {
            let error = checked(name, value, false).unwrap_err().to_string();
            for part in [&*format!("properties.{name}"), "`tls` of connector-kafka", "`kafka-tls` of connect"]
            {
                assert!(error.contains(part), "{error}");
            }
            assert!(!error.contains("hidden"), "{error}");
            assert!(checked(name, value, true).is_ok());
        }
    }

    #[test]
    fn plain_passwords_need_nothing() {
        for (name, value) in [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("security.protocol", "plaintext"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "ada"),
        ] {
            assert!(checked(name, value, false).is_ok(), "{name}");
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn this_build_has_no_tls_and_says_so() {
        let properties = [("security.protocol".to_owned(), "ssl".to_owned())].into();
        assert!(require(&properties).unwrap_err().to_string().contains("`tls`"));
    }
}
