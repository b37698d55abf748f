//! The one thing that the client's library knows of a message and does not tell in safe code.
#![allow(unsafe_code)]

use rdkafka::bindings::rd_kafka_message_leader_epoch;
use rdkafka::message::BorrowedMessage;

/// The epoch of the leader that took the record; -1 where it is not known.
#[inline]
pub(super) fn leader_epoch(message: &BorrowedMessage<'_>) -> i64 {
    // SAFETY: the pointer is the message's own, which lives as long as it is borrowed here; the call reads it only.
    i64::from(unsafe { rd_kafka_message_leader_epoch(message.ptr()) })
}
