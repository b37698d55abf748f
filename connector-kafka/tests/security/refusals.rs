//! Who must not get in does not, soon and with words that help: through our own client, and through librdkafka at both ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use connector_api::Error;
use connector_api::factory::Span;
use connector_api::sink::{Flush, Outcome};
use connector_kafka::sink::{DeliveryGuarantee, SinkOptions};
use libtest_mimic::{Failed, Trial};
use testkit::brokers::{Authority, Kafka};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::broker::{self, MECHANISMS, Way, ensure};
use super::hand::{Process, context};
use super::host::Host;
use super::rounds::{sink, source};

/// A secret of the tests that no error may show.
const WRONG: &str = "hunter2-is-wrong";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        broker::trial("an_unknown_authority_is_refused", unknown_authority),
        broker::trial("another_host_s_certificate_is_refused_unless_nobody_asks", other_host),
        broker::trial("a_broker_that_can_not_sign_with_the_password_is_refused", impostor),
        broker::trial("verification_can_be_switched_off", unverified),
        broker::trial("a_client_without_a_certificate_is_refused_where_one_is_wanted", no_certificate),
    ];
    trials.extend(MECHANISMS.map(|mechanism| {
        broker::trial(format!("a_wrong_login_is_refused_by_{mechanism}"), move || wrong_login(mechanism))
    }));
    trials
}

/// How long a refusal may take. The client's patience is three times that.
const SOON: Duration = Duration::from_secs(10);

#[allow(clippy::disallowed_methods, reason = "a test on the real clock")]
fn now() -> Instant {
    Instant::now()
}

fn said(error: &Error, begun: Instant, parts: &[&str]) -> Result<(), Failed> {
    let (text, took) = (error.to_string(), begun.elapsed());
    for part in parts {
        ensure!(text.to_lowercase().contains(&part.to_lowercase()), "`{part}` is not in: {text}");
    }
    ensure!(!text.contains(WRONG) && !format!("{error:?}").contains(WRONG), "a secret is shown: {text}");
    ensure!(took < SOON, "it took {took:?}: {text}");
    ensure!(!error.is_retryable(), "it would be tried again: {text}");
    Ok(())
}

fn error_of<T>(result: Result<T, Error>) -> Result<Error, Failed> {
    result.err().ok_or_else(|| "it was let in".into())
}

/// `ours` are parts of what our own client says, `theirs` of what librdkafka does.
async fn refused(topic: &str, way: &Way, ours: &[&str], theirs: &[&str]) -> Result<(), Failed> {
    let begun = now();
    let options = sink(topic, way)?;
    said(&error_of(Process::open(&options, context(1, 1)).await)?, begun, ours)?;
    said(&at_least_once(&options).await?, now(), theirs)?;
    let begun = now();
    let mut options = source(topic, way)?;
    options.request_timeout = Span(Duration::from_secs(5));
    said(&Host::start(&options, 1).error().await, begun, theirs)
}

/// The error of a sink that librdkafka alone has.
async fn at_least_once(options: &SinkOptions) -> Result<Error, Failed> {
    use connector_api::sink::Sink;
    let options = SinkOptions {
        delivery_guarantee: DeliveryGuarantee::AtLeastOnce,
        transactional_id_prefix: None,
        ..options.clone()
    };
    let plan = connector_kafka::sink::KafkaSink::new(&options)?.plan()?;
    let mut writer = (plan.writer)(context(1, 1), Vec::new()).await?;
    let rows = super::hand::rows(&["a"]);
    match writer.write(rows).await {
        Ok(()) => error_of(writer.flush(Flush::Checkpoint).await),
        Err(error) => Ok(error),
    }
}

async fn wrong_login(mechanism: &'static str) -> Result<(), Failed> {
    let way = broker::secured(mechanism)?;
    let way = match mechanism {
        "OAUTHBEARER" => way.with("sasl.oauthbearer.config", "principal=mallory scope=other"),
        _ => way.with("sasl.password", WRONG),
    };
    let ours = ["127.0.0.1:", mechanism, "SASL_AUTHENTICATION_FAILED"];
    let ours = ours.map(|part| part.replace("SASL_AUTHENTICATION_FAILED", "(58)"));
    let ours: Vec<_> = ours.iter().map(String::as_str).collect();
    refused("wrong-login", &way, &ours, &["SASL"]).await?;
    if mechanism != "OAUTHBEARER" {
        let nobody = broker::secured(mechanism)?.with("sasl.username", "mallory");
        refused("wrong-login", &nobody, &ours, &["SASL"]).await?;
    }
    Ok(())
}

async fn unknown_authority() -> Result<(), Failed> {
    let other = Authority::new()?;
    let way = broker::encrypted()?.with("ssl.ca.pem", other.certificate());
    refused("unknown-authority", &way, &["127.0.0.1:", "TLS", "UnknownIssuer"], &["certificate"]).await?;
    // The system does not trust the tests' authority either.
    let way = way.without("ssl.ca.pem");
    refused("unknown-authority", &way, &["127.0.0.1:", "ssl.ca.location"], &["certificate"]).await
}

/// Between client and broker, one signature of the broker's is changed: as of somebody who does not know the password.
async fn impostor() -> Result<(), Failed> {
    let way = broker::login()?.with("sasl.mechanism", "SCRAM-SHA-256");
    let (behind, listener) = (broker::address(way.port)?, TcpListener::bind("127.0.0.1:0").await?);
    let options =
        SinkOptions { bootstrap_servers: listener.local_addr()?.to_string(), ..sink("impostor", &way)? };
    let changed = Arc::new(AtomicBool::new(false));
    let changes = Arc::clone(&changed);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(broker) = TcpStream::connect(&behind).await else { return };
            let ((mut asked, mut told), (mut answers, mut asks)) = (client.into_split(), broker.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut asked, &mut asks).await });
            let changes = Arc::clone(&changes);
            tokio::spawn(async move {
                // 46 bytes that begin with the signature.
                let is_last = b"\x2fv=";
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = answers.read(&mut bytes).await {
                    let found = bytes[..read].windows(is_last.len()).position(|window| window == is_last);
                    if let Some(first) = found.and_then(|at| bytes.get_mut(at + is_last.len())) {
                        *first = if *first == b'A' { b'B' } else { b'A' };
                        changes.store(true, Ordering::Relaxed);
                    }
                    if told.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let begun = now();
    let opened = Process::open(&options, context(1, 1)).await;
    ensure!(changed.load(Ordering::Relaxed), "no signature was changed");
    let error = error_of(opened)?;
    said(&error, begun, &["SCRAM-SHA-256", "does not know the password"])
}

/// The certificate names the address, not the name.
async fn other_host() -> Result<(), Failed> {
    let way = broker::encrypted()?.with("broker.address.family", "v4");
    let port = broker::address(way.port)?;
    let port = port.rsplit_once(':').map_or("", |(_, port)| port);
    let bootstrap_servers = format!("localhost:{port}");
    let options = SinkOptions { bootstrap_servers: bootstrap_servers.clone(), ..sink("other-host", &way)? };
    let begun = now();
    let error = error_of(Process::open(&options, context(1, 1)).await)?;
    said(&error, begun, &["localhost:", "TLS", "certificate"])?;
    said(&at_least_once(&options).await?, now(), &["certificate"])?;
    let mut options = source("other-host", &way)?;
    options.bootstrap_servers = bootstrap_servers.clone();
    options.request_timeout = Span(Duration::from_secs(5));
    said(&Host::start(&options, 1).error().await, now(), &["certificate"])?;
    broker::create_topic("other-host")?;
    let way = way.with("ssl.endpoint.identification.algorithm", "none");
    let options = SinkOptions { bootstrap_servers, ..sink("other-host", &way)? };
    let mut process = Process::open(&options, context(1, 1)).await?;
    let prepared = process.prepare(&["a"]).await?;
    let outcome = process.commit(&prepared).await?;
    ensure!(matches!(outcome, Outcome::Committed), "{outcome:?}");
    // Whose authority is unknown is refused all the same.
    let way = way.with("ssl.ca.pem", Authority::new()?.certificate());
    refused("other-host", &way, &["UnknownIssuer"], &["certificate"]).await
}

async fn unverified() -> Result<(), Failed> {
    broker::create_topic("unverified")?;
    let way = broker::encrypted()?.without("ssl.ca.pem");
    let way = way.with("enable.ssl.certificate.verification", "false");
    let mut process = Process::open(&sink("unverified", &way)?, context(1, 1)).await?;
    let prepared = process.prepare(&["a"]).await?;
    let outcome = process.commit(&prepared).await?;
    ensure!(matches!(outcome, Outcome::Committed), "{outcome:?}");
    Ok(())
}

async fn no_certificate() -> Result<(), Failed> {
    let way = Way { port: Kafka::MUTUAL, ..broker::encrypted()? };
    refused("no-certificate", &way, &["TLS", "ssl.certificate.location"], &["SSL"]).await?;
    let (other, own) = (Authority::new()?, broker::mutual()?);
    let stranger = other.identity("mallory", None)?;
    let way = own.with("ssl.certificate.pem", &stranger.certificate).with("ssl.key.pem", &stranger.key);
    refused("no-certificate", &way, &["TLS"], &["SSL"]).await
}
