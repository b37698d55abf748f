//! The committer: what was hidden is visible.

use std::collections::BTreeSet;

use async_trait::async_trait;
use connector_api::sink::{CommitRequest, Committer, OperatorContext, Outcome, Proof};

use super::outside::Part;
use super::{Ledger, SinkFlaw, Staged};

pub(super) struct Commits {
    ledger: Ledger,
    context: OperatorContext,
    tried: BTreeSet<String>,
    /// Answered for, and not done.
    owed: Vec<Staged>,
}

impl Commits {
    pub(super) fn new(ledger: Ledger, context: OperatorContext) -> Self {
        Self { ledger, context, tried: BTreeSet::new(), owed: Vec::new() }
    }

    /// The part, if it is hidden.
    fn find(&self, part: &Staged) -> Option<Part> {
        let found = self.ledger.lock().staged.get(&part.name).cloned()?;
        let is_alien = found.made_by != self.context.attempt;
        if is_alien && self.ledger.is(SinkFlaw::NeedsItsAttempt) { None } else { Some(found) }
    }

    fn publish(&self, part: &Staged) -> Outcome<Staged> {
        let is_committed = self.ledger.lock().committed.contains(&part.name);
        let going_back = self.context.restored.is_some_and(|restored| restored.going_back);
        if is_committed && !(going_back && self.ledger.is(SinkFlaw::GoingBackIsLoss)) {
            if self.ledger.is(SinkFlaw::CommitsAgain) {
                let mut outside = self.ledger.lock();
                let again = outside.visible.last().cloned();
                outside.visible.extend(again);
            }
            self.ledger.lock().staged.remove(&part.name);
            return Outcome::AlreadyCommitted { proof: Proof::TransactionCommitted };
        }
        let Some(found) = self.find(part) else {
            if self.ledger.is(SinkFlaw::HidesLoss) {
                return Outcome::AlreadyCommitted { proof: Proof::TransactionCommitted };
            }
            return Outcome::Lost { reason: format!("{} is neither hidden nor visible", part.name) };
        };
        if self.ledger.is(SinkFlaw::TwoSteps) {
            self.ledger.lock().staged.remove(&part.name);
            self.ledger.lock().committed.insert(part.name.clone());
            self.context.env.crash.hit("ledger-committer/mid-commit");
        }
        self.ledger.lock().publish(&part.name, &part.inputs, found.rows);
        // What is hidden still is known by its name, and is removed when the commit comes again.
        self.context.env.crash.hit("ledger-committer/mid-commit");
        self.ledger.lock().staged.remove(&part.name);
        Outcome::Committed
    }
}

#[async_trait]
impl Committer<Staged> for Commits {
    async fn commit(&mut self, request: &CommitRequest<Staged>) -> Outcome<Staged> {
        let part = &request.committable;
        let is_known = !self.tried.insert(part.name.clone());
        if is_known && self.ledger.is(SinkFlaw::TrustsMemory) {
            return Outcome::AlreadyCommitted { proof: Proof::TransactionCommitted };
        }
        if let Err(why) = self.ledger.check("committing", &part.name) {
            if self.ledger.is(SinkFlaw::GivesUp) {
                return Outcome::Fatal(why);
            }
            return Outcome::Retry { updated: None, after: None, why };
        }
        self.context.env.crash.hit("ledger-committer/before-commit");
        let outcome = if self.ledger.is(SinkFlaw::AnswersTooEarly) {
            self.owed.push(part.clone());
            let due = (self.owed.len() > 1).then(|| self.owed.remove(0));
            due.map_or(Outcome::Committed, |due| self.publish(&due))
        } else {
            self.publish(part)
        };
        self.context.env.crash.hit("ledger-committer/after-commit");
        outcome
    }
}
