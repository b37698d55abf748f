//! Through each way in: rows are written and prepared, their process ends, another commits them over the wire, and the source reads them.

use std::time::Duration;

use connector_api::sink::Outcome;
use connector_kafka::sink::SinkOptions;
use connector_kafka::source::{Offsets, SourceOptions};
use libtest_mimic::{Failed, Trial};

use super::broker::{self, MECHANISMS, SESSION, Way, ensure};
use super::hand::{Process, context};
use super::host::Host;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        broker::trial("exactly_once_over_ssl", || async { round("ssl", broker::encrypted()?).await }),
        broker::trial("exactly_once_over_ssl_with_a_certificate_of_the_client", || async {
            round("mutual", broker::mutual()?).await
        }),
        broker::trial("exactly_once_over_sasl_plaintext_by_plain", || async {
            round("plaintext", broker::login()?).await
        }),
        broker::trial("certificates_and_keys_are_read_from_files", from_files),
        broker::trial("a_login_that_ends_is_made_anew", ended_login),
        broker::trial("a_token_that_ends_is_made_anew", ended_token),
    ];
    trials.extend(MECHANISMS.map(|mechanism| {
        broker::trial(format!("exactly_once_over_sasl_ssl_by_{mechanism}"), move || async move {
            round(mechanism, broker::secured(mechanism)?).await
        })
    }));
    trials
}

pub(crate) fn sink(name: &str, way: &Way) -> Result<SinkOptions, Failed> {
    let options = SinkOptions::topic(broker::address(way.port)?, name).exactly_once(name);
    Ok(SinkOptions { properties: way.properties.clone(), ..options })
}

pub(crate) fn source(name: &str, way: &Way) -> Result<SourceOptions, Failed> {
    let mut options = SourceOptions::topics(broker::address(way.port)?, [name]);
    options.properties = way.properties.clone();
    options.stop = Some(Offsets::Latest);
    Ok(options)
}

/// Writes and prepares in a process that then is no more, and commits in another one.
async fn write(options: &SinkOptions, rows: &[&str]) -> Result<(), Failed> {
    let mut dying = Process::open(options, context(1, 1)).await?;
    let prepared = dying.prepare(rows).await?;
    // With its producers, of which none commits: the next one has nothing but the committable.
    drop(dying);
    let mut next = Process::committing(options, context(1, 2)).await?;
    match next.commit(&prepared).await? {
        Outcome::Committed => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

async fn read(options: &SourceOptions) -> Result<Vec<String>, Failed> {
    let mut host = Host::start(options, 1);
    host.until_end().await;
    let texts = host.texts().into_iter().map(str::to_owned).collect();
    host.close().await;
    Ok(texts)
}

async fn round(name: &str, way: Way) -> Result<(), Failed> {
    broker::create_topic(name)?;
    write(&sink(name, &way)?, &["a", "b", "c"]).await?;
    let found = read(&source(name, &way)?).await?;
    ensure!(found == ["a", "b", "c"], "{found:?}");
    Ok(())
}

async fn from_files() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let mut way = broker::mutual()?;
    for name in ["ca", "certificate", "key"] {
        let path = dir.path().join(name);
        let pem = way.properties.remove(&format!("ssl.{name}.pem")).ok_or("no PEM")?;
        #[allow(clippy::disallowed_methods, reason = "a file of the test")]
        std::fs::write(&path, pem)?;
        way = way.with(&format!("ssl.{name}.location"), &path.to_string_lossy());
    }
    round("files", way).await
}

/// The broker closes a connection whose login has ended as soon as something comes over it (KIP-368).
async fn ended_login() -> Result<(), Failed> {
    let way = broker::login()?;
    broker::create_topic("ended-login")?;
    let transactions = way.transactions()?;
    let mut process = Process::open(&sink("ended-login", &way)?, context(1, 1)).await?;
    let prepared = process.prepare(&["a"]).await?;
    for _ in 0..3 {
        let open = transactions.list("ended-login").await?;
        ensure!(open.len() == 1 && open[0].state == "Ongoing", "{open:?}");
        tokio::time::sleep(SESSION * 2 / 3).await;
    }
    tokio::time::sleep(SESSION).await;
    ensure!(matches!(process.commit(&prepared).await?, Outcome::Committed), "not committed");
    let found = read(&source("ended-login", &way)?).await?;
    ensure!(found == ["a"], "{found:?}");
    Ok(())
}

/// Sessions by a token last as long as the token: after that librdkafka needs another one, and so do we.
async fn ended_token() -> Result<(), Failed> {
    let config = format!("principal=ada scope={} lifeSeconds=12", testkit::brokers::Kafka::SCOPE);
    let way = broker::secured("OAUTHBEARER")?.with("sasl.oauthbearer.config", &config);
    broker::create_topic("ended-token")?;
    let mut process = Process::open(&sink("ended-token", &way)?, context(1, 1)).await?;
    for row in ["a", "b", "c"] {
        let prepared = process.prepare(&[row]).await?;
        tokio::time::sleep(Duration::from_secs(7)).await;
        ensure!(matches!(process.commit(&prepared).await?, Outcome::Committed), "{row} is not committed");
    }
    let found = read(&source("ended-token", &way)?).await?;
    ensure!(found == ["a", "b", "c"], "{found:?}");
    Ok(())
}
