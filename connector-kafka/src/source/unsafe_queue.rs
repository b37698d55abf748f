//! The queue of a partition, emptied many messages at a time, and what of a message the client's safe interface does not tell.
//!
//! That interface takes one message at a time and reads the clock thrice for each: a third of what reading costs. The call of
//! the library beneath that takes many is used here, and nowhere else.
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use rdkafka::bindings as native;
use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::BaseConsumer;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::client::Place;
use super::context::Context;

/// Messages that are taken at once.
const TAKEN: usize = 512;

/// The queue of one partition of a consumer.
pub(super) struct PartitionQueue {
    queue: NonNull<native::rd_kafka_queue_t>,
    /// Taken and not given out. Before the consumer: they end before it does.
    taken: VecDeque<Taken>,
    /// What the callback points at.
    _woken: Arc<Place>,
    /// The queue must not outlive it.
    _consumer: Arc<BaseConsumer<Context>>,
}

// SAFETY: the library's queues may be used from any thread, and this one is used by whoever owns it.
unsafe impl Send for PartitionQueue {}

/// Runs within the library, under the queue's lock; must neither wait nor panic.
unsafe extern "C" fn not_empty(_: *mut native::rd_kafka_t, place: *mut c_void) {
    // SAFETY: registered with a pointer to the place that `PartitionQueue` holds; it is taken back before that is dropped.
    let place = unsafe { &*place.cast::<Place>() };
    place.ready.notify_one();
}

impl PartitionQueue {
    /// The queue of the place's partition, which from now on goes nowhere else; its place is told when it has something. None
    /// when the partition has none.
    pub(super) fn split(consumer: &Arc<BaseConsumer<Context>>, place: &Arc<Place>) -> Option<Self> {
        let topic = CString::new(&*place.at.topic).ok()?;
        // SAFETY: the client lives as long as the consumer, which this value holds; the name is a C string for the call.
        let queue = unsafe {
            native::rd_kafka_queue_get_partition(
                consumer.client().native_ptr(),
                topic.as_ptr(),
                place.at.partition,
            )
        };
        let queue = NonNull::new(queue)?;
        let opaque = Arc::as_ptr(place).cast_mut().cast::<c_void>();
        // SAFETY: the queue was just made; the callback's pointer stays good until `drop` takes the callback back.
        unsafe {
            native::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            native::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(not_empty), opaque);
        }
        let (woken, consumer) = (Arc::clone(place), Arc::clone(consumer));
        Some(Self { queue, taken: VecDeque::new(), _woken: woken, _consumer: consumer })
    }

    /// The next message, if there is one. Does not wait.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Taken> {
        if self.taken.is_empty() {
            self.refill();
        }
        self.taken.pop_front()
    }

    fn refill(&mut self) {
        let mut messages = [ptr::null_mut(); TAKEN];
        // SAFETY: the array has room for as many pointers as it is said to have.
        let count = unsafe {
            native::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, messages.as_mut_ptr(), TAKEN)
        };
        // Negative for an error that no queue of a partition gives.
        let count = usize::try_from(count).unwrap_or(0);
        self.taken
            .extend(messages.iter().take(count).filter_map(|message| NonNull::new(*message)).map(Taken));
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        self.taken.clear();
        // SAFETY: the queue is this value's own. After the callback was taken back, under the queue's lock, none runs.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            native::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// A message, or an error, that was taken from a queue.
pub(super) struct Taken(NonNull<native::rd_kafka_message_t>);

// SAFETY: a message belongs to whoever took it, on whatever thread.
unsafe impl Send for Taken {}

impl Taken {
    fn message(&self) -> &native::rd_kafka_message_t {
        // SAFETY: it lives until it is dropped, and nobody changes it.
        unsafe { self.0.as_ref() }
    }

    fn bytes(&self, start: *const c_void, length: usize) -> Option<&[u8]> {
        // SAFETY: null or the start of this many bytes, which live as long as the message.
        (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast::<u8>(), length) })
    }

    /// The error that it is instead of a message.
    #[inline]
    pub(super) fn error(&self) -> Option<Code> {
        match Code::from(self.message().err) {
            Code::NoError => None,
            code => Some(code),
        }
    }

    #[inline]
    pub(super) fn offset(&self) -> i64 {
        self.message().offset
    }

    #[inline]
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.bytes(self.message().key, self.message().key_len)
    }

    #[inline]
    pub(super) fn value(&self) -> Option<&[u8]> {
        self.bytes(self.message().payload, self.message().len)
    }

    /// Milliseconds, -1 for none, and what they are: 0 the producer's time, 1 the broker's, 2 none.
    #[inline]
    pub(super) fn timestamp(&self) -> (i64, i64) {
        use native::rd_kafka_timestamp_type_t as Kind;
        let mut kind = Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: reads the message, writes the kind.
        let millis = unsafe { native::rd_kafka_message_timestamp(self.0.as_ptr(), &raw mut kind) };
        match kind {
            Kind::RD_KAFKA_TIMESTAMP_CREATE_TIME if millis >= 0 => (millis, 0),
            Kind::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME if millis >= 0 => (millis, 1),
            _ => (-1, 2),
        }
    }

    /// The epoch of the leader that took the record; -1 where it is not known.
    #[inline]
    pub(super) fn leader_epoch(&self) -> i64 {
        // SAFETY: reads the message.
        i64::from(unsafe { native::rd_kafka_message_leader_epoch(self.0.as_ptr()) })
    }

    /// Its headers, in order. A name that is no UTF-8 is told with replacements: the protocol calls names texts, and nobody
    /// checks.
    #[inline]
    pub(super) fn headers(&self) -> Option<Headers<'_>> {
        let mut headers = ptr::null_mut();
        // SAFETY: the headers stay the message's own.
        let answer = unsafe { native::rd_kafka_message_headers(self.0.as_ptr(), &raw mut headers) };
        (Code::from(answer) == Code::NoError && !headers.is_null()).then_some(Headers {
            message: self,
            headers,
            index: 0,
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: it was taken from a queue and is given back once.
        unsafe { native::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// The headers of a message.
pub(super) struct Headers<'a> {
    message: &'a Taken,
    headers: *mut native::rd_kafka_headers_t,
    index: usize,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (Cow<'a, str>, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the headers live as long as the message; an index behind the last one is answered by an error.
        let answer = unsafe {
            native::rd_kafka_header_get_all(
                self.headers,
                self.index,
                &raw mut name,
                &raw mut value,
                &raw mut size,
            )
        };
        if Code::from(answer) != Code::NoError {
            return None;
        }
        self.index += 1;
        // SAFETY: a C string that lives as long as the message.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        Some((name, self.message.bytes(value, size)))
    }
}
