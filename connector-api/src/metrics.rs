//! Metric names of the field (FLIP-33 and SinkV2), for the `metrics` facade. Labels: `job`, `connector`, `subtask`, `split`.

macro_rules! names {
    ($($constant:ident = $name:literal, $doc:literal;)*) => {
        $(#[doc = $doc] pub const $constant: &str = $name;)*
    };
}

names! {
    NUM_RECORDS_IN = "numRecordsIn", "Counter: rows that the source emitted.";
    NUM_BYTES_IN = "numBytesIn", "Counter: bytes of content that the source emitted.";
    NUM_RECORDS_IN_ERRORS = "numRecordsInErrors", "Counter: rows that could not be read.";
    CURRENT_EMIT_EVENT_TIME_LAG = "currentEmitEventTimeLag", "Gauge, ms: time of emission minus event time.";
    CURRENT_FETCH_EVENT_TIME_LAG = "currentFetchEventTimeLag", "Gauge, ms: time of fetch minus event time.";
    WATERMARK_LAG = "watermarkLag", "Gauge, ms: now minus the current watermark.";
    SOURCE_IDLE_TIME = "sourceIdleTime", "Gauge, ms: time since the source last emitted a row.";
    PENDING_RECORDS = "pendingRecords", "Gauge: rows that are known and not yet read.";
    PENDING_BYTES = "pendingBytes", "Gauge: bytes that are known and not yet read.";
    UNASSIGNED_SPLITS = "unassignedSplits", "Gauge: splits that no reader has.";
    CURRENT_WATERMARK = "currentWatermark", "Gauge, ms: the watermark of a split.";
    NUM_RECORDS_OUT = "numRecordsOut", "Counter: rows that the sink writer took.";
    NUM_BYTES_OUT = "numBytesOut", "Counter: bytes of content that the sink writer took.";
    NUM_RECORDS_SEND = "numRecordsSend", "Counter: rows that the sink writer took (the same as numRecordsOut).";
    NUM_BYTES_SEND = "numBytesSend", "Counter: bytes that the sink writer took (the same as numBytesOut).";
    NUM_RECORDS_OUT_ERRORS = "numRecordsOutErrors", "Counter: rows that could not be written.";
    CURRENT_SEND_TIME = "currentSendTime", "Gauge, ms: duration of the last write.";
    TOTAL_COMMITTABLES = "totalCommittables", "Counter: committables that reached the committer.";
    SUCCESSFUL_COMMITTABLES = "successfulCommittables", "Counter: committables committed.";
    ALREADY_COMMITTED_COMMITTABLES = "alreadyCommittedCommittables", "Counter: committables found committed before.";
    FAILED_COMMITTABLES = "failedCommittables", "Counter: committables that were lost.";
    RETRIED_COMMITTABLES = "retriedCommittables", "Counter: attempts to commit that ended in a retry.";
    PENDING_COMMITTABLES = "pendingCommittables", "Gauge: committables not yet committed.";
    LAST_CHECKPOINT_DURATION = "lastCheckpointDuration", "Gauge, ms: from the trigger to the completion.";
    LAST_CHECKPOINT_SIZE = "lastCheckpointSize", "Gauge, bytes: size of the last completed checkpoint.";
    NUM_COMPLETED_CHECKPOINTS = "numberOfCompletedCheckpoints", "Counter: checkpoints completed.";
    NUM_FAILED_CHECKPOINTS = "numberOfFailedCheckpoints", "Counter: checkpoints aborted, timed out or failed.";
    NUM_RESTARTS = "numRestarts", "Counter: restarts of the job.";
}
