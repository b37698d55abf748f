//! What makes the sink break a rule.

/// What makes a [`Ledger`](super::Ledger) break a rule. A flaw of a part that the ledger's [`Shape`](super::Shape) does not have
/// shows nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SinkFlaw {
    /// It breaks none.
    #[default]
    None,
    /// W-1: a flush leaves the last row in memory, for the next one.
    KeepsBack,
    /// W-1: a flush forgets rows that the system did not take, and says nothing.
    SwallowsErrors,
    /// F-5: a flush waits for a broken system for ever.
    WaitsForEver,
    /// W-2: a part stays open over a savepoint (shape `Open`).
    ChangesSavepoint,
    /// W-3: the last part stays open at the end of the input (shape `Open`).
    StaysOpenAtTheEnd,
    /// W-3: a writer without rows leaves an empty part open at the end (shape `Open`).
    OpensAtTheEnd,
    /// W-4: a row is visible as soon as it is staged.
    PublishesEarly,
    /// W-5: names do not tell attempts apart.
    NamesWithoutAttempt,
    /// W-5: names do not tell writers apart.
    NamesWithoutSubtask,
    /// W-6: of several states it takes one (shape `Open`).
    TakesOneState,
    /// W-7: a row is out of the buffer while `idle` waits.
    IdleForgets,
    /// W-8: what is not committed at the next checkpoint counts as aborted, and is removed.
    UndoesAborted,
    /// W-9: `close` publishes what is open.
    ClosePublishes,
    /// W-10: a task goes on when the writer is closed.
    LeaksTask,
    /// C-1: a committer finds only parts of its own attempt.
    NeedsItsAttempt,
    /// C-2: a committable that comes again is published again.
    CommitsAgain,
    /// C-3: `Committed` is said one commit ahead.
    AnswersTooEarly,
    /// C-4: a part that this committer has tried before counts as committed.
    TrustsMemory,
    /// C-5: a part that is gone counts as committed.
    HidesLoss,
    /// C-5: a part that became visible after the checkpoint that the job went back to counts as lost.
    GoingBackIsLoss,
    /// C-6: a system that is broken ends the job.
    GivesUp,
    /// C-7: a part is taken out of hiding, and is published in a second step that nobody repeats.
    TwoSteps,
    /// O-1: the stage publishes what it merged (shape `Grouped`).
    StagePublishes,
    /// O-2: merging consumes its inputs (shape `Grouped`).
    ConsumesInputs,
    /// O-3: the newest part that waits is not in the state (shape `Grouped`).
    ForgetsHeld,
    /// O-4: a part waits for the notice of its own checkpoint, no other stands for it (shape `Grouped`).
    NeedsEachNotice,
    /// O-5: a part that waits alone at the end waits for ever (shape `Grouped`).
    WaitsAtTheEnd,
    /// O-6: cleaning up fails when it was done before (shape `Grouped`).
    CleansOnce,
    /// O-7: the plan does not say which stages it leaves out.
    HidesWhatIsAbsent,
    /// W-9, X-1: the sweep removes nothing.
    SweepsNothing,
    /// the sweep removes what references name.
    SweepsReferenced,
    /// the sweep removes what other runs made.
    SweepsOtherRuns,
    /// the sweep removes what its own attempt and later ones made.
    SweepsLaterAttempts,
    /// the sweep removes what is visible.
    SweepsVisible,
    /// the sweep passes over references that it can't decode.
    SweepsUndecoded,
}
