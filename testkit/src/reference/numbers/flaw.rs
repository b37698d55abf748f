//! What can be wrong with a source.

/// What makes [`Numbers`](super::Numbers) break a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceFlaw {
    /// It breaks none.
    #[default]
    None,

    /// E-1: every second split is given out under the id of the one before it.
    SharesIds,
    /// E-2: the enumerator's snapshot leaves out what is not assigned.
    ForgetsPending,
    /// E-2: the enumerator's snapshot also holds what it assigned.
    KeepsAssigned,
    /// E-2: the enumerator's snapshot leaves out what is pending while no reader is there.
    ForgetsWithoutReaders,
    /// E-2: a split that came back is stored without its position (FLINK-38453).
    StoresStart,
    /// E-3: the enumerator looks into the file system while it is called.
    EnumeratorBlocks,
    /// E-3: the enumerator arranges for no waker.
    EnumeratorSleeps,
    /// E-4: splits that come back while no reader is there are dropped.
    DropsReturned,
    /// E-4: a split that comes back begins anew.
    RestartsReturned,
    /// E-5: a split that is reported finished a second time is an error.
    RefusesSecondEnd,
    /// E-6: a request of a reader that is not there is an error.
    RefusesTheGone,
    /// E-6: what a reader asked for before it went is served to it for ever, also when it is not there.
    ServesTheGone,
    /// E-7: only readers that had a split hear that no more come.
    ForgetsIdle,
    /// E-7: a reader that was added anew does not hear again that no more come.
    TellsOnce,
    /// E-8: after a restore each split waits for the reader that would have owned it among four.
    KeepsOwners,
    /// E-9: the enumerator looks into the file system before it is started.
    LooksBeforeStart,
    /// E-10: it never says how many splits are unassigned.
    ReportsNothing,

    /// a batch without rows at the end of each split.
    EmptyBatch,
    /// the rows of a batch come in reverse.
    ReversesRows,
    /// a batch is said to be of the split that comes next.
    MixesSplits,
    /// the position stands one row ahead of what was emitted.
    PositionAhead,
    /// the position stands one row behind what was emitted.
    PositionBehind,
    /// `unemitted` is ignored.
    IgnoresUnemitted,
    /// a split of which nothing was read is not in the snapshot.
    ForgetsUnread,
    /// a finished split is not in the next snapshot.
    ForgetsFinished,
    /// a finished split stands at its beginning in the next snapshot.
    RestartsFinished,
    /// a split is said to be finished when its last batch is next.
    EndsEarly,
    /// the end of the input is said whenever all splits are finished.
    EndsUnasked,
    /// the end of the input is said again when it is asked for.
    EndsAgain,
    /// the end of the input is never said.
    NeverEnds,
    /// a reader that waits for time to pass arranges for no waker.
    Sleeps,
    /// a reader that waits for rows arranges for no waker.
    SleepsThroughRows,
    /// the reader looks into the file system while it is polled.
    ReaderBlocks,
    /// paused splits go on.
    IgnoresPause,
    /// what would have been read while a split was paused is lost when it is resumed.
    SkipsWhenResumed,
    /// a command for a split that is unknown or finished is an error.
    RefusesUnknown,
    /// a removed split is read on.
    KeepsRemoved,
    /// a removed split stays in the snapshots.
    StoresRemoved,
    /// each checkpoint must be heard of, in turn.
    NeedsNotices,
    /// an aborted checkpoint sets the positions back to where they were at it.
    RewindsWhenAborted,
    /// an error does not say which split it is about.
    NamelessErrors,
    /// what can't be read is skipped.
    SkipsErrors,
    /// F-2: an error that may pass is said to be final.
    FinalErrors,
    /// closing leaves a task behind.
    LeaksTasks,
    /// closing does not end.
    NeverCloses,
    /// a watermark is a row ahead.
    WatermarkAhead,
    /// watermarks go back.
    WatermarkBack,
    /// everything is read as soon as a split is added.
    ReadsAhead,
    /// whoever waits for rows is woken all the time.
    SpinsWhileWaiting,
    /// whoever waits for rows is woken every few milliseconds.
    FidgetsWhileWaiting,
    /// the event times of a batch are those of the rows in reverse.
    ReversesTimes,
    /// a crash point is reached of which the README does not say what is read again.
    UndocumentedCrashPoint,

    /// S-1: splits and states are stored without an envelope.
    NoEnvelope,
    /// S-2: state of a later version is read as if it were of this one.
    ReadsLater,
    /// S-3: damaged state makes it panic.
    PanicsOnDamage,
    /// S-4: the enumerator's state says that it is a split.
    SameKind,
}
