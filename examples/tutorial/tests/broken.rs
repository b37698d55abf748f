//! The mistake that the tutorial shows: pending splits are left out of the enumerator's snapshot.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::task::Context;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::id::CheckpointId;
use connector_api::source::{
    Boundedness, BoxSource, EnumeratorCommand, EnumeratorContext, EnumeratorSetup, ReaderContext, Source,
    SplitEnumerator, erase,
};
use connector_api::{MessageBatch, Result};
use testkit::lab::Settings;
use testkit::{Capabilities, Capability, SourceContext, TestRow, files, source};
use tutorial::record;
use tutorial::source::{Found, JournalEnumerator, JournalSource, JournalSplit};

struct Forgetful(JournalSource);
struct ForgetfulEnumerator(JournalEnumerator);

impl SplitEnumerator for ForgetfulEnumerator {
    type Split = JournalSplit;
    type State = Found;

    fn handle(
        &mut self,
        command: EnumeratorCommand<JournalSplit>,
        context: &mut EnumeratorContext<JournalSplit>,
    ) -> Result<()> {
        self.0.handle(command, context)
    }

    fn poll(&mut self, cx: &mut Context<'_>, context: &mut EnumeratorContext<JournalSplit>) -> Result<()> {
        self.0.poll(cx, context)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<Found> {
        Ok(Found { pending: Vec::new(), ..self.0.snapshot(checkpoint)? })
    }
}

impl Source for Forgetful {
    type Enumerator = ForgetfulEnumerator;
    type Reader = <JournalSource as Source>::Reader;

    fn boundedness(&self) -> Boundedness {
        self.0.boundedness()
    }

    fn enumerator(&self, setup: EnumeratorSetup, restored: Option<Found>) -> Result<ForgetfulEnumerator> {
        self.0.enumerator(setup, restored).map(ForgetfulEnumerator)
    }

    fn reader(&self, context: ReaderContext) -> Result<Self::Reader> {
        self.0.reader(context)
    }
}

struct Subject;

#[async_trait]
impl SourceContext for Subject {
    type Batch = MessageBatch;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Bounded, Capability::EventTimes, Capability::Files])
    }

    fn source(&self, _: &Environment) -> Result<BoxSource<MessageBatch>> {
        Ok(erase(Forgetful(JournalSource { dir: PathBuf::from("/in") })))
    }

    async fn append(&mut self, env: &Environment, split: u32, rows: &[TestRow]) -> Result<()> {
        let mut journal = Vec::new();
        for TestRow { text, millis } in rows {
            record::put(&mut journal, *millis, Some(text.as_bytes()))?;
        }
        files::append(&*env.fs, Path::new(&format!("/in/log-{split}.bin")), &journal)
    }
}

#[test]
fn the_suite_sees_that_pending_splits_are_lost_and_only_when_something_goes_wrong() {
    let verdict = |name: &str| {
        let check = source::checks::<Subject>().into_iter().find(|check| check.name == name).unwrap();
        check.judge(&|_| Subject, Settings::default())
    };
    verdict("source::whole::rows_arrive_exactly_once_when_nothing_goes_wrong").unwrap();
    let broken = verdict("source::whole::rows_arrive_exactly_once_whatever_goes_wrong").unwrap_err();
    assert!(broken.what.contains("lost:"), "{broken}");
}
