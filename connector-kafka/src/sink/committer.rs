//! The committer: by the producer that prepared the transaction where that lives, else over the wire.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::sink::{
    BatchCommitter, CommitBatch, CommitRequest, OperatorContext, Outcome, Proof, Settled,
};
use connector_api::{Error, Result};
use futures::stream::{self, StreamExt};
use tokio::sync::OnceCell;

use super::committable::{KafkaCommittable, TransactionVersion};
use super::metrics;
use super::outcomes::{Next, Standing, judge, next};
use super::pool::Pool;
use crate::error::{KafkaError, name_of};
use crate::wire::{Described, EndOf, Wire};

/// How many commits are under way at a time.
const AT_ONCE: usize = 16;
/// How long a commit that is decided may take to reach the partitions before it is asked for again.
const COMPLETION: Duration = Duration::from_secs(10);
/// How often it is looked, and EndTxn sent, before it is told what was found.
const ROUNDS: u32 = 3;

type End = Outcome<KafkaCommittable>;

/// Commits prepared transactions.
#[derive(Debug)]
pub(crate) struct KafkaCommitter {
    env: Environment,
    wire: Wire,
    pool: Arc<Pool>,
    going_back: bool,
    cluster_id: OnceCell<String>,
}

/// What came of waiting for the partitions.
enum Completed {
    Yes,
    NotYet,
    /// It is not being committed at all.
    No(Described),
}

impl KafkaCommitter {
    pub(crate) fn new(context: &OperatorContext, wire: Wire, pool: Arc<Pool>) -> Self {
        let going_back = context.restored.is_some_and(|restored| restored.going_back);
        Self { env: context.env.clone(), wire, pool, going_back, cluster_id: OnceCell::new() }
    }

    async fn commit(&self, request: &CommitRequest<KafkaCommittable>) -> End {
        let committable = &request.committable;
        self.env.crash.hit("kafka-committer/before-commit");
        let claimed = self.pool.claim(committable);
        let committed = match claimed {
            Some((at, live)) => match live.producer.commit(&live.id).await {
                Ok(()) => {
                    self.env.crash.hit("kafka-committer/after-end");
                    let end = self.completed(committable, Outcome::Committed).await;
                    if matches!(end, Outcome::Committed) {
                        self.pool.committed(at, live);
                    }
                    end
                }
                Err(error) => {
                    // What it stands at is found out without the client, whose own state is no proof.
                    tracing::warn!(id = live.id, %error, "the producer that lives could not commit; committing over the wire");
                    drop(live);
                    self.over_the_wire(committable).await
                }
            },
            None => self.over_the_wire(committable).await,
        };
        match &committed {
            Outcome::Committed => {
                self.env.crash.hit("kafka-committer/before-outcome");
                metrics::count(metrics::TRANSACTIONS_COMMITTED, 1);
            }
            Outcome::AlreadyCommitted { .. } => metrics::count(metrics::TRANSACTIONS_FOUND_COMMITTED, 1),
            Outcome::Lost { .. } => metrics::count(metrics::TRANSACTIONS_LOST, 1),
            Outcome::Retry { .. } | Outcome::Fatal(_) => {}
        }
        committed
    }

    async fn cluster_id(&self) -> Result<&String, KafkaError> {
        let ask = || async { Ok(self.wire.cluster().await?.id.unwrap_or_default()) };
        self.cluster_id.get_or_try_init(ask).await
    }

    async fn over_the_wire(&self, committable: &KafkaCommittable) -> End {
        let id = &*committable.transactional_id;
        let failed = |error: KafkaError| Outcome::failed(Error::connector("commit", id, None, error));
        match self.cluster_id().await {
            Ok(here) if *here == committable.cluster_id => {}
            Ok(here) => {
                return fatal(committable, &format!("this is the cluster {here}: nothing of it is here"));
            }
            Err(error) => return failed(error),
        }
        // Which transactions this version stands for is decided where one is written; a later version gets a path of its own.
        let TransactionVersion::SameEpoch = committable.version;
        let mut end = None;
        for _ in 0..ROUNDS {
            let found = match self.wire.describe(id).await {
                Ok(found) => found,
                Err(error) => return failed(error),
            };
            match judge(committable, &found) {
                Standing::Open => {}
                Standing::Committing | Standing::Committed if end.is_some() => {
                    // The answer was lost, or came late: it was this call that committed it.
                    return self.completed(committable, Outcome::Committed).await;
                }
                standing => return self.settled(committable, standing, &found).await,
            }
            self.env.crash.hit("kafka-committer/after-look");
            let KafkaCommittable { producer_id, epoch, .. } = *committable;
            let code = match self.wire.end(EndOf { id, producer_id, epoch, commit: true }).await {
                Ok(code) => code,
                // It may have been heard all the same.
                Err(error) => return failed(error),
            };
            end = Some(code);
            match next(code) {
                Next::Done => {
                    self.env.crash.hit("kafka-committer/after-end");
                    return self.completed(committable, Outcome::Committed).await;
                }
                Next::Again => self.env.clock.sleep(Duration::from_millis(50)).await,
                Next::Look => {}
                Next::Refuse => break,
            }
        }
        let code = end.unwrap_or_default();
        let why = KafkaError::Answer { api: "EndTxn", code };
        if next(code) == Next::Again {
            return Outcome::Retry {
                updated: None,
                after: None,
                why: Error::connector("commit", id, None, why),
            };
        }
        fatal(committable, &format!("it is open, and EndTxn was answered {}", name_of(code)))
    }

    /// The outcome of a transaction that is not open any more.
    async fn settled(&self, committable: &KafkaCommittable, standing: Standing, found: &Described) -> End {
        let id = &committable.transactional_id;
        let proof = Proof::TransactionCommitted;
        let found = Found(found);
        match standing {
            Standing::Committing => self.completed(committable, Outcome::AlreadyCommitted { proof }).await,
            Standing::Committed | Standing::Followed => Outcome::AlreadyCommitted { proof },
            Standing::Aborted => Outcome::Lost {
                reason: format!(
                    "{} was aborted, by its time-out or by somebody: {found}. Its rows are gone; the source has them still, if it keeps them \
                     so long: start from an earlier position, or go on without them by `on_lost` = \"skip\"",
                    Name(committable)
                ),
            },
            Standing::Unknown | Standing::Fenced if self.going_back => {
                tracing::warn!(id, %found, "is not committed again: its id was used since the checkpoint that the job went back to");
                Outcome::AlreadyCommitted { proof }
            }
            Standing::Unknown => Outcome::Lost {
                reason: format!(
                    "{}: the cluster does not know the id any more, which it forgets days after its last use (transactional.id.expiration.ms). \
                     What was not committed by then was aborted",
                    Name(committable)
                ),
            },
            Standing::Fenced => fatal(
                committable,
                &format!(
                    "another producer has its id now: {found}. Whether it was committed before can't be told; look for its rows in the topic"
                ),
            ),
            Standing::Open | Standing::Refused => {
                fatal(committable, &format!("DescribeTransactions was answered {found}"))
            }
        }
    }

    /// Waits until a commit that is decided has reached the partitions, so that its rows are visible; then it is `end`.
    async fn completed(&self, committable: &KafkaCommittable, end: End) -> End {
        let id = &*committable.transactional_id;
        match self.completion(committable).await {
            Ok(Completed::Yes) => end,
            Ok(Completed::NotYet) => {
                let why = KafkaError::Transaction(format!(
                    "its commit is decided, and has not reached all partitions within {COMPLETION:?}"
                ));
                Outcome::Retry { updated: None, after: None, why: Error::connector("commit", id, None, why) }
            }
            Ok(Completed::No(found)) => {
                let found = Found(&found);
                fatal(committable, &format!("EndTxn was answered with a yes, and then it is {found}"))
            }
            Err(error) => Outcome::failed(Error::connector("commit", id, None, error)),
        }
    }

    async fn completion(&self, committable: &KafkaCommittable) -> Result<Completed, KafkaError> {
        let clock = &self.env.clock;
        let until = clock.monotonic() + COMPLETION;
        let mut pause = Duration::from_millis(2);
        loop {
            let found = self.wire.describe(&committable.transactional_id).await?;
            match judge(committable, &found) {
                Standing::Committed | Standing::Followed => return Ok(Completed::Yes),
                Standing::Committing if clock.monotonic() < until => {}
                Standing::Committing => return Ok(Completed::NotYet),
                _ => return Ok(Completed::No(found)),
            }
            clock.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }
}

#[async_trait]
impl BatchCommitter<KafkaCommittable> for KafkaCommitter {
    async fn commit_batch(&mut self, batch: CommitBatch<KafkaCommittable>) -> Settled<KafkaCommittable> {
        let this = &*self;
        let requests: Vec<_> = batch.requests().to_vec();
        let commits = requests.into_iter().map(|request| async move { this.commit(&request).await });
        let ends: Vec<End> = stream::iter(commits).buffered(AT_ONCE).collect().await;
        let mut ends = ends.into_iter();
        batch.settle(|_, request| {
            ends.next().unwrap_or_else(|| fatal(&request.committable, "it was passed over"))
        })
    }
}

fn fatal(committable: &KafkaCommittable, why: &str) -> End {
    Outcome::Fatal(Error::data(Name(committable).to_string(), None, why))
}

/// A committable, for a message.
struct Name<'a>(&'a KafkaCommittable);

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let KafkaCommittable { cluster_id, transactional_id, producer_id, epoch, started_at, .. } = self.0;
        write!(
            f,
            "the transaction of {transactional_id} (producer {producer_id}, epoch {epoch}, begun at {started_at}, cluster {cluster_id})"
        )
    }
}

/// What was found, for a message.
struct Found<'a>(&'a Described);

impl std::fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Described { code, state, started_at, producer_id, epoch, .. } = self.0;
        match code {
            0 => write!(f, "{state} (producer {producer_id}, epoch {epoch}, begun at {started_at})"),
            code => f.write_str(&name_of(*code)),
        }
    }
}
