//! Properties as users write them.

use super::*;

fn read(properties: &[(&str, &str)]) -> Result<Security> {
    parse(&properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

/// Refused, by the name of the property, for a reason that has these parts and shows no password.
fn refused(properties: &[(&str, &str)], name: &str, parts: &[&str]) {
    match read(properties) {
        Err(Error::Config { option, reason }) => {
            assert_eq!(option, format!("properties.{name}"), "{reason}");
            parts.iter().for_each(|part| assert!(reason.contains(part), "{reason}"));
            assert!(!reason.contains("hunter2"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_security_is_plain_text() {
    assert_eq!(read(&[("compression.type", "zstd")]).unwrap(), Security::default());
    assert_eq!(read(&[("security.protocol", "PlainText")]).unwrap(), Security::default());
}

#[test]
fn each_mechanism_is_read_under_both_of_its_names() {
    for name in ["sasl.mechanism", "sasl.mechanisms"] {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let found = read(&[
                ("security.protocol", "SASL_SSL"),
                (name, mechanism),
                ("sasl.username", "ada"),
                ("sasl.password", "hunter2"),
            ])
            .unwrap();
            assert_eq!(found.sasl.as_ref().unwrap().mechanism(), mechanism);
            assert_eq!(found.tls, Some(TlsOptions::default()));
            assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
        }
    }
    let found = read(&[
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("sasl.oauthbearer.config", "principal=ada"),
    ]);
    assert_eq!(found.unwrap().sasl.unwrap().mechanism(), "OAUTHBEARER");
}

#[test]
fn tls_is_read_with_its_files_and_its_checks() {
    let found = read(&[
        ("security.protocol", "ssl"),
        ("ssl.ca.location", "/ca.pem"),
        ("ssl.certificate.location", "/me.pem"),
        ("ssl.key.pem", "hunter2"),
        ("ssl.endpoint.identification.algorithm", "none"),
    ])
    .unwrap();
    assert!(!format!("{found:?}").contains("hunter2"));
    let tls = found.tls.unwrap();
    assert_eq!(tls.authorities, Some(Pem::File { property: CA_FILE, path: "/ca.pem".into() }));
    assert_eq!((tls.check, tls.identity.is_some(), found.sasl), (Check::Chain, true, None));
    let off = read(&[("security.protocol", "ssl"), ("enable.ssl.certificate.verification", "False")]);
    assert_eq!(off.unwrap().tls.unwrap().check, Check::Nothing);
}

#[test]
fn what_our_own_client_does_not_speak_is_refused_by_name_with_what_works() {
    const COMMON: &[&str] = &["our own client", "at-least-once"];
    for name in [
        "sasl.kerberos.principal",
        "ssl.keystore.location",
        "ssl.keystore.password",
        "ssl.providers",
        "ssl.cipher.suites",
        "ssl.engine.location",
        "ssl.key.password",
        "ssl.crl.location",
        "sasl.oauthbearer.client.id",
        "ssl.a.typo",
    ] {
        refused(&[("security.protocol", "sasl_ssl"), (name, "hunter2")], name, COMMON);
    }
    let sasl = ("security.protocol", "sasl_ssl");
    refused(&[sasl, ("sasl.mechanism", "GSSAPI")], "sasl.mechanism", COMMON);
    let bearer = ("sasl.mechanism", "OAUTHBEARER");
    refused(&[sasl, bearer], "sasl.mechanism", &["enable.sasl.oauthbearer.unsecure.jwt", "at-least-once"]);
    refused(&[sasl, bearer, ("sasl.oauthbearer.method", "oidc")], "sasl.oauthbearer.method", COMMON);
}

#[test]
fn values_that_mean_nothing_are_refused_with_those_that_do() {
    refused(&[("security.protocol", "tls")], "security.protocol", &["`tls`", "sasl_ssl"]);
    let sasl = ("security.protocol", "sasl_plaintext");
    refused(&[sasl], "sasl.mechanism", &["missing", "SCRAM-SHA-512"]);
    refused(&[sasl, ("sasl.mechanism", "SCRAM-SHA-1")], "sasl.mechanism", &["SCRAM-SHA-1", "PLAIN"]);
    let plain = ("sasl.mechanism", "PLAIN");
    refused(&[sasl, plain, ("sasl.mechanisms", "GSSAPI")], "sasl.mechanisms", &["sasl.mechanism"]);
    refused(&[sasl, plain], "sasl.username", &["PLAIN"]);
    refused(&[sasl, plain, ("sasl.username", "ada")], "sasl.password", &["PLAIN"]);
    let nul = ("sasl.password", "hunter2\0");
    refused(&[sasl, plain, ("sasl.username", "ada"), nul], "sasl.password", &["code 0"]);
    let tls = ("security.protocol", "ssl");
    let verify = "enable.ssl.certificate.verification";
    refused(&[tls, (verify, "maybe")], verify, &["maybe", "false"]);
    refused(&[tls, (HOST_CHECK, "http")], HOST_CHECK, &["http", "none"]);
    refused(&[tls, (KEY_FILE, "/k")], CERTIFICATE_FILE, &["key"]);
    refused(&[tls, (CERTIFICATE_TEXT, "x")], KEY_FILE, &["certificate"]);
    refused(&[tls, (CA_FILE, "/ca"), (CA_TEXT, "hunter2")], CA_TEXT, &[CA_FILE]);
}

#[test]
fn properties_without_their_protocol_are_refused() {
    refused(&[("sasl.username", "ada")], "sasl.username", &["security.protocol", "sasl_ssl"]);
    refused(&[("ssl.ca.location", "/ca")], "ssl.ca.location", &["security.protocol", "sasl_ssl"]);
    let tls = ("security.protocol", "ssl");
    refused(&[tls, ("sasl.password", "hunter2")], "sasl.password", &["sasl_plaintext"]);
}
