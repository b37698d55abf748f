//! The rows of the outcome tables that no broker could be brought to show: between our client and a real broker stands a forger, who
//! answers in its place.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connector_api::sink::Outcome;
use connector_kafka::sink::{KafkaCommittable, SinkOptions, outcome_tables};
use libtest_mimic::{Failed, Trial};
use testkit::brokers::{Broker, Kafka};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::broker::{self, ensure};
use super::hand::{Process, context};

const END_TXN: i16 = 26;
const DESCRIBE_TRANSACTIONS: i16 = 65;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        broker::trial("what_is_injected_into_answers_has_the_outcome_of_the_table", injected),
        broker::trial("a_commit_that_does_not_reach_the_partitions_is_tried_again", stuck),
    ]
}

/// What is done to answers.
#[derive(Clone, Debug)]
enum Forgery {
    /// EndTxn does not reach the broker, and is answered with this code, so many times.
    End { code: i16, times: u32 },
    /// DescribeTransactions is answered with this code.
    Describe { code: i16 },
    /// What is committed is described as being committed, so many times.
    Committing { times: u32 },
}

/// Stands between; forges what it is told to.
#[derive(Clone)]
struct Forger {
    forgery: Arc<Mutex<Option<Forgery>>>,
    /// How often it did.
    count: Arc<Mutex<u32>>,
}

impl Forger {
    fn forge(&self, forgery: Option<Forgery>) {
        *self.forgery.lock().unwrap_or_else(PoisonError::into_inner) = forgery;
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) = 0;
    }

    fn forged(&self) -> u32 {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the turn of one more; counts it.
    fn one_more(&self, times: u32) -> bool {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = *count < times;
        *count += u32::from(is_due);
        is_due
    }

    fn now(&self) -> Option<Forgery> {
        self.forgery.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Passes one connection on, a request and its answer at a time, as our client sends them.
    async fn pass(self, mut client: TcpStream, broker: std::net::SocketAddr) -> std::io::Result<()> {
        let mut behind = TcpStream::connect(broker).await?;
        loop {
            let request = frame(&mut client).await?;
            // Key, version and correlation id.
            let (key, correlation) = (i16::from_be_bytes([request[0], request[1]]), &request[4..8]);
            let answer = match self.now() {
                Some(Forgery::End { code, times }) if key == END_TXN && self.one_more(times) => {
                    // No tagged fields, not throttled.
                    let mut answer = [correlation, &[0], &[0; 4]].concat();
                    answer.extend(code.to_be_bytes());
                    answer.push(0);
                    answer
                }
                forgery => {
                    write(&mut behind, &request).await?;
                    let mut answer = frame(&mut behind).await?;
                    if key == DESCRIBE_TRANSACTIONS {
                        self.describe(forgery, &mut answer);
                    }
                    answer
                }
            };
            write(&mut client, &answer).await?;
        }
    }

    fn describe(&self, forgery: Option<Forgery>, answer: &mut Vec<u8>) {
        match forgery {
            Some(Forgery::Describe { code }) if self.one_more(u32::MAX) => {
                // Behind correlation id, tagged fields, throttling and the length of the list.
                answer[10..12].copy_from_slice(&code.to_be_bytes());
            }
            Some(Forgery::Committing { times }) => {
                let (is, shown) = (b"\x0fCompleteCommit", b"\x0ePrepareCommit");
                if let Some(at) = answer.windows(is.len()).position(|window| window == is)
                    && self.one_more(times)
                {
                    answer.splice(at..at + is.len(), shown.iter().copied());
                }
            }
            _ => {}
        }
    }
}

async fn frame(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; from.read_u32().await? as usize];
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn write(to: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    to.write_u32(bytes.len() as u32).await?;
    to.write_all(bytes).await
}

/// A broker, and a forger in front of it.
struct Forged {
    kafka: Broker,
    forger: Forger,
    address: String,
}

impl Forged {
    async fn start() -> Result<Self, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let front = listener.local_addr()?;
        let kafka = Broker::start(Kafka::new().behind(front))?;
        let behind = kafka.address_of(Kafka::PROXIED);
        let forger = Forger { forgery: Arc::default(), count: Arc::default() };
        let accepting = forger.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().pass(client, behind));
            }
        });
        Ok(Self { kafka, forger, address: front.to_string() })
    }

    /// A transaction that a process prepared which is gone, and a process that sees the forger.
    async fn prepared(&self, name: &str) -> Result<(KafkaCommittable, Process), Failed> {
        let options = |address: &str| SinkOptions::topic(address, name).exactly_once(name);
        let direct = self.kafka.address().to_string();
        let prepared = Process::open(&options(&direct), context(1, 1)).await?.prepare(&["row"]).await?;
        let second = Process::committing(&options(&self.address), context(1, 2)).await?;
        Ok((prepared, second))
    }
}

/// Each row of a printed table, by its cells.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|---"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

async fn injected() -> Result<(), Failed> {
    let forged = Forged::start().await?;
    let (mut seen, text) = (0, outcome_tables());
    for row in rows(&text).into_iter().filter(|row| row.last() == Some(&"injected")) {
        let what = row[0];
        let (code, follows) = match row[..] {
            [_, code, follows, _] => (code, follows),
            _ => continue,
        };
        // No broker knows this one.
        let code: i16 = if code.is_empty() { 9_999 } else { code.parse()? };
        let (prepared, mut second) = forged.prepared(&format!("injected-{code}")).await?;
        forged.forger.forge(Some(Forgery::End { code, times: 1 }));
        let first = second.commit(&prepared).await?;
        ensure!(forged.forger.forged() == 1, "{what}: EndTxn was not answered by the forger");
        let is_as_said = match &first {
            Outcome::Committed => {
                follows.starts_with("asked again") || follows.starts_with("looked at again")
            }
            Outcome::Fatal(error) => follows == "`Fatal`" && error.to_string().contains(&code.to_string()),
            _ => false,
        };
        ensure!(is_as_said, "{what}: {first:?}, the table says: {follows}");
        if follows.starts_with("looked at again") {
            let (prepared, mut second) = forged.prepared(&format!("for-ever-{code}")).await?;
            forged.forger.forge(Some(Forgery::End { code, times: u32::MAX }));
            let end = second.commit(&prepared).await?;
            ensure!(matches!(end, Outcome::Fatal(_)), "{what}, again and again: {end:?}");
        }
        // Nothing is lost by it: the transaction waits.
        forged.forger.forge(None);
        let after = second.commit(&prepared).await?;
        let is_there = matches!(after, Outcome::Committed | Outcome::AlreadyCommitted { .. });
        ensure!(is_there, "{what}: once it is over, {after:?}");
        seen += 1;
    }
    ensure!(seen >= 10, "{seen} rows of EndTxn are marked as injected");

    let (prepared, mut second) = forged.prepared("injected-describe").await?;
    forged.forger.forge(Some(Forgery::Describe { code: 53 }));
    match second.commit(&prepared).await? {
        Outcome::Fatal(error) => {
            ensure!(error.to_string().contains("(53)"), "{error}");
        }
        other => return Err(format!("a coordinator that refuses to tell: {other:?}").into()),
    }

    let (prepared, mut second) = forged.prepared("injected-busy").await?;
    forged.forger.forge(Some(Forgery::End { code: 51, times: u32::MAX }));
    let end = second.commit(&prepared).await?;
    ensure!(matches!(end, Outcome::Retry { .. }), "CONCURRENT_TRANSACTIONS again and again: {end:?}");
    Ok(())
}

/// A commit is decided, and its markers don't come: for a while, and for longer than is waited.
async fn stuck() -> Result<(), Failed> {
    let forged = Forged::start().await?;
    let (prepared, mut second) = forged.prepared("committing").await?;
    forged.forger.forge(None);
    ensure!(matches!(second.commit(&prepared).await?, Outcome::Committed), "it is committed");
    forged.forger.forge(Some(Forgery::Committing { times: 3 }));
    let found = second.commit(&prepared).await?;
    ensure!(matches!(found, Outcome::AlreadyCommitted { .. }), "the markers came: {found:?}");
    ensure!(forged.forger.forged() == 3, "it was looked at again");
    forged.forger.forge(Some(Forgery::Committing { times: u32::MAX }));
    let begun = tokio::time::Instant::now();
    let found = second.commit(&prepared).await?;
    ensure!(matches!(found, Outcome::Retry { .. }), "the markers don't come: {found:?}");
    ensure!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
    Ok(())
}
