//! The one file that calls librdkafka by itself, where rdkafka has no call or a slow one: partitions' own queues, batches,
//! produce by topic handle, the wait of a commit. Everything it offers is safe to use.
#![allow(unsafe_code, reason = "calls into C; each block says why it is sound, and no other file may hold one")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::Notify;

use super::record::given_time;
use super::{Headers, TopicPartition};

/// A consumer whose partitions can be read from queues of their own. It closes the queues before it ends itself, so
/// they keep nothing alive.
pub(super) struct QueueingConsumer<C: ConsumerContext + 'static> {
    slots: Mutex<Vec<Weak<Slot>>>,
    client: BaseConsumer<C>,
    /// librdkafka's threads call it until `client`, which stands before it, is dropped.
    wake: Arc<Notify>,
}

/// Where a queue is kept: empty once its consumer has ended.
type Slot = Mutex<Option<Queue>>;

/// An owned `rd_kafka_queue_t`. Invariant: it is destroyed before its client.
struct Queue(NonNull<c::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues may be used and destroyed by any thread.
unsafe impl Send for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the pointer is owned and was not destroyed yet; its client still exists by the type's invariant.
        unsafe { c::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

unsafe extern "C" fn wake_up(_: *mut c::rd_kafka_t, wake: *mut c_void) {
    // SAFETY: `wake` is the consumer's `Notify`, which outlives the client and with it every callback.
    unsafe { &*wake.cast::<Notify>() }.notify_one();
}

impl<C: ConsumerContext + 'static> QueueingConsumer<C> {
    pub(super) fn new(client: BaseConsumer<C>, wake: Arc<Notify>) -> QueueingConsumer<C> {
        QueueingConsumer { slots: Mutex::default(), client, wake }
    }

    pub(super) fn client(&self) -> &BaseConsumer<C> {
        &self.client
    }

    /// Takes a partition's records off the consumer's main queue, for as long as the client lives, and wakes `wake`
    /// whenever the queue was empty and no longer is. To be called before the partition is assigned: what has been
    /// fetched by then stays in the main queue.
    pub(super) fn partition_queue(&self, topic: &str, partition: i32) -> Option<BatchQueue> {
        let name = CString::new(topic).ok()?;
        let client = self.client.client().native_ptr();
        // SAFETY: the client is alive and the name a C string; a returned queue is ours to destroy.
        let queue = unsafe { c::rd_kafka_queue_get_partition(client, name.as_ptr(), partition) };
        let queue = Queue(NonNull::new(queue)?);
        // SAFETY: the queue is alive. Forwarding to nothing marks it as the application's own, which every later start
        // of the partition respects (rd_kafka_toppar_op_fetch_start). The callback's argument outlives the client.
        unsafe {
            c::rd_kafka_queue_forward(queue.0.as_ptr(), ptr::null_mut());
            c::rd_kafka_queue_cb_event_enable(
                queue.0.as_ptr(),
                Some(wake_up),
                Arc::as_ptr(&self.wake).cast_mut().cast(),
            );
        }
        Some(self.keep(queue))
    }

    /// Takes the records of several partitions off the consumer's main queue into one of their own, for as long as the
    /// client lives. To be called before they are assigned, as [`partition_queue`](Self::partition_queue).
    pub(super) fn shared_queue(&self, partitions: &[TopicPartition]) -> Option<BatchQueue> {
        let client = self.client.client().native_ptr();
        // SAFETY: the client is alive; the queue is ours to destroy.
        let shared = Queue(NonNull::new(unsafe { c::rd_kafka_queue_new(client) })?);
        for at in partitions {
            let name = CString::new(&*at.topic).ok()?;
            // SAFETY: the client is alive and the name a C string; a returned queue is ours to destroy.
            let queue = unsafe { c::rd_kafka_queue_get_partition(client, name.as_ptr(), at.partition) };
            let queue = Queue(NonNull::new(queue)?);
            // SAFETY: both queues are alive. librdkafka keeps a reference of its own to the one that is forwarded to.
            unsafe { c::rd_kafka_queue_forward(queue.0.as_ptr(), shared.0.as_ptr()) }
        }
        Some(self.keep(shared))
    }

    /// Puts a queue where it is destroyed before the client.
    fn keep(&self, queue: Queue) -> BatchQueue {
        let slot = Arc::new(Mutex::new(Some(queue)));
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        BatchQueue { slot, taken: Vec::new() }
    }

    /// Events that wait in the main queue.
    pub(super) fn queued_events(&self) -> usize {
        // SAFETY: the client is alive; the queue is destroyed right after its length was read.
        unsafe {
            let queue = c::rd_kafka_queue_get_consumer(self.client.client().native_ptr());
            NonNull::new(queue).map_or(0, |queue| c::rd_kafka_queue_length(Queue(queue).0.as_ptr()))
        }
    }
}

impl<C: ConsumerContext + 'static> Drop for QueueingConsumer<C> {
    fn drop(&mut self) {
        for slot in self.slots.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if let Some(slot) = slot.upgrade() {
                drop(slot.lock().unwrap_or_else(PoisonError::into_inner).take());
            }
        }
    }
}

/// A partition's queue, read by batches.
pub(super) struct BatchQueue {
    slot: Arc<Slot>,
    /// Room for a batch's pointers, kept from one to the next.
    taken: Vec<*mut c::rd_kafka_message_t>,
}

// SAFETY: `taken` is empty but within `read`, which has the queue for itself.
unsafe impl Send for BatchQueue {}

impl BatchQueue {
    /// Lends up to `max_records` of what is queued; fewer only where that is all. Never waits.
    pub(super) fn read<T>(&mut self, max_records: usize, with: impl FnOnce(&[RawMessage<'_>]) -> T) -> Option<T> {
        self.wait_and_read(max_records, Duration::ZERO, with)
    }

    /// Lends up to `max_records`; waits until there are as many, for at most `wait`.
    pub(super) fn wait_and_read<T>(
        &mut self,
        max_records: usize,
        wait: Duration,
        with: impl FnOnce(&[RawMessage<'_>]) -> T,
    ) -> Option<T> {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = slot.as_ref()?;
        self.taken.clear();
        self.taken.reserve(max_records);
        // SAFETY: the queue's client is alive while it is in its slot, which is locked; there is room for the pointers
        // that are written, and only those are counted.
        let count = unsafe {
            let room = self.taken.as_mut_ptr();
            let count = c::rd_kafka_consume_batch_queue(queue.0.as_ptr(), milliseconds(wait), room, max_records);
            let count = usize::try_from(count).unwrap_or(0);
            self.taken.set_len(count);
            count
        };
        let batch = Taken(&mut self.taken);
        // SAFETY: `RawMessage` is a transparent, non-null pointer to a message, and librdkafka fills in no null.
        let messages = unsafe { std::slice::from_raw_parts(batch.0.as_ptr().cast::<RawMessage<'_>>(), count) };
        Some(with(messages))
    }
}

/// Messages that are destroyed at the end of their loan.
struct Taken<'a>(&'a mut Vec<*mut c::rd_kafka_message_t>);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        for message in self.0.drain(..) {
            // SAFETY: librdkafka handed each out once, and it has not been destroyed yet.
            unsafe { c::rd_kafka_message_destroy(message) }
        }
    }
}

/// A message in librdkafka's memory, lent.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct RawMessage<'a>(NonNull<c::rd_kafka_message_t>, PhantomData<&'a ()>);

impl<'a> RawMessage<'a> {
    pub(super) fn of(message: &'a BorrowedMessage<'_>) -> RawMessage<'a> {
        RawMessage(NonNull::new(message.ptr()).expect("a message of rdkafka's points to one"), PhantomData)
    }

    fn raw(self) -> &'a c::rd_kafka_message_t {
        // SAFETY: the message lives for 'a, and is not written to meanwhile but for its parsed headers, which lie aside.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn offset(self) -> i64 {
        self.raw().offset
    }

    pub(super) fn partition(self) -> i32 {
        self.raw().partition
    }

    /// Tells topics of one client apart at the cost of a comparison.
    pub(super) fn topic_mark(self) -> usize {
        self.raw().rkt.addr()
    }

    /// The topic's name; `None` of an error that concerns none.
    pub(super) fn topic(self) -> Option<&'a str> {
        let topic = NonNull::new(self.raw().rkt)?;
        // SAFETY: the handle is alive as long as the message, and its name as long as the handle.
        unsafe { CStr::from_ptr(c::rd_kafka_topic_name(topic.as_ptr())) }.to_str().ok()
    }

    /// -1 where the message has none.
    pub(super) fn timestamp_ms(self) -> i64 {
        let mut kind = c::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: both pointers are valid for the call.
        unsafe { c::rd_kafka_message_timestamp(self.0.as_ptr(), &mut kind) }
    }

    pub(super) fn key(self) -> Option<&'a [u8]> {
        // SAFETY: key and length belong together and live as long as the message.
        unsafe { bytes(self.raw().key, self.raw().key_len) }
    }

    /// The value; of an error its text.
    pub(super) fn value(self) -> Option<&'a [u8]> {
        // SAFETY: payload and length belong together and live as long as the message.
        unsafe { bytes(self.raw().payload, self.raw().len) }
    }

    /// What the message reports instead of a record.
    pub(super) fn error(self) -> Option<RDKafkaErrorCode> {
        let code = self.raw().err;
        (code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
    }

    /// Calls `each` with each header's name, which need not be UTF-8, and value.
    pub(super) fn headers(self, mut each: impl FnMut(&[u8], Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the pointers are valid; the headers found belong to the message and live as long.
        let found = unsafe { c::rd_kafka_message_headers(self.0.as_ptr(), &mut headers) };
        if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut length): (*const c_char, *const c_void, usize) =
                (ptr::null(), ptr::null(), 0);
            // SAFETY: the headers are alive; past the last one the call says so and writes nothing.
            let got = unsafe { c::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut length) };
            if got != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: librdkafka ends names with a zero byte; value and length belong together.
            unsafe { each(CStr::from_ptr(name).to_bytes(), bytes(value, length)) };
        }
    }
}

/// # Safety
/// Where it is not null, `start` points to `length` bytes that live for 'a.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller promises.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), length) })
}

/// A producer that looks each topic up once.
pub(super) struct TopicProducer<C: ProducerContext + 'static> {
    /// Few; they stand before the client, which must end after them.
    topics: RwLock<Vec<(Box<str>, Topic)>>,
    client: BaseProducer<C>,
}

/// An owned `rd_kafka_topic_t`. Invariant: it is destroyed before its client.
struct Topic(NonNull<c::rd_kafka_topic_t>);

// SAFETY: librdkafka's topic handles may be used and destroyed by any thread.
unsafe impl Send for Topic {}
// SAFETY: as above; they are not changed through our pointer.
unsafe impl Sync for Topic {}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the pointer is owned; its client still exists by the type's invariant.
        unsafe { c::rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}

/// A failed transaction call, with librdkafka's own word on what to do.
pub(super) struct TransactionError {
    pub(super) code: RDKafkaErrorCode,
    pub(super) text: String,
    pub(super) is_fatal: bool,
    pub(super) is_retriable: bool,
    pub(super) requires_abort: bool,
}

/// What goes to one call of `produce`; the bytes are copied.
pub(super) struct Produced<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: Option<i32>,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a Headers,
}

impl<C: ProducerContext + 'static> TopicProducer<C> {
    pub(super) fn new(client: BaseProducer<C>) -> TopicProducer<C> {
        TopicProducer { topics: RwLock::default(), client }
    }

    pub(super) fn client(&self) -> &BaseProducer<C> {
        &self.client
    }

    fn native(&self) -> *mut c::rd_kafka_t {
        self.client.client().native_ptr()
    }

    /// Queues a record, or says why not.
    pub(super) fn produce(&self, record: &Produced<'_>) -> Result<(), RDKafkaErrorCode> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, topic)) = topics.iter().find(|(name, _)| **name == *record.topic) {
            return self.produce_to(topic, record);
        }
        drop(topics);
        let name = CString::new(record.topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        // SAFETY: the client is alive, the name a C string; without settings the client's defaults hold.
        let topic = unsafe { c::rd_kafka_topic_new(self.native(), name.as_ptr(), ptr::null_mut()) };
        let topic = Topic(NonNull::new(topic).ok_or(RDKafkaErrorCode::InvalidTopic)?);
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.push((record.topic.into(), topic));
        self.produce_to(&topics[topics.len() - 1].1, record)
    }

    fn produce_to(&self, topic: &Topic, record: &Produced<'_>) -> Result<(), RDKafkaErrorCode> {
        use c::rd_kafka_vtype_t as v;
        let parts = |bytes: Option<&[u8]>| bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr(), bytes.len()));
        let ((key, key_bytes), (value, value_bytes)) = (parts(record.key), parts(record.value));
        let headers = native_headers(record.headers);
        // SAFETY: client and topic are alive and belong together; the arguments are as `rd_kafka_producev` reads them:
        // pairs of a kind and its C types, ended by END. Key and value are copied before it returns. The headers
        // become librdkafka's where it succeeds, and stay ours where it fails.
        let result = unsafe {
            let result = c::rd_kafka_producev(
                self.native(),
                v::RD_KAFKA_VTYPE_RKT,
                topic.0.as_ptr(),
                v::RD_KAFKA_VTYPE_PARTITION,
                record.partition.unwrap_or(-1),
                v::RD_KAFKA_VTYPE_MSGFLAGS,
                c::RD_KAFKA_MSG_F_COPY,
                v::RD_KAFKA_VTYPE_VALUE,
                value.cast_mut().cast::<c_void>(),
                value_bytes,
                v::RD_KAFKA_VTYPE_KEY,
                key.cast_mut().cast::<c_void>(),
                key_bytes,
                v::RD_KAFKA_VTYPE_TIMESTAMP,
                record.timestamp_ms.map_or(0, given_time),
                v::RD_KAFKA_VTYPE_HEADERS,
                headers,
                v::RD_KAFKA_VTYPE_END,
            );
            if result != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && !headers.is_null() {
                c::rd_kafka_headers_destroy(headers);
            }
            result
        };
        if result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(result.into()) }
    }

    /// Events that wait to be served.
    pub(super) fn queued_events(&self) -> usize {
        // SAFETY: the client is alive; the queue is destroyed right after its length was read.
        unsafe {
            let queue = c::rd_kafka_queue_get_main(self.native());
            NonNull::new(queue).map_or(0, |queue| c::rd_kafka_queue_length(Queue(queue).0.as_ptr()))
        }
    }

    /// Sends what is queued without lingering; returns whether all of it was acknowledged or failed within `wait`.
    /// rdkafka's own waits on, in steps of 100 ms, where no delivery report wakes it.
    pub(super) fn flush(&self, wait: Duration) -> bool {
        // SAFETY: the client is alive.
        let result = unsafe { c::rd_kafka_flush(self.native(), milliseconds(wait)) };
        result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    /// Flushes and commits within `wait`; may be repeated where it is retriable. rdkafka's own flushes by itself before.
    pub(super) fn commit_transaction(&self, wait: Duration) -> Result<(), TransactionError> {
        // SAFETY: the client is alive.
        let error = unsafe { c::rd_kafka_commit_transaction(self.native(), milliseconds(wait)) };
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: a returned error is ours; it is destroyed after its facts were copied.
        unsafe {
            let facts = TransactionError {
                code: c::rd_kafka_error_code(error).into(),
                text: CStr::from_ptr(c::rd_kafka_error_string(error)).to_string_lossy().into_owned(),
                is_fatal: c::rd_kafka_error_is_fatal(error) != 0,
                is_retriable: c::rd_kafka_error_is_retriable(error) != 0,
                requires_abort: c::rd_kafka_error_txn_requires_abort(error) != 0,
            };
            c::rd_kafka_error_destroy(error);
            Err(facts)
        }
    }
}

/// A producer of one topic whose records carry a number each, which comes back with the delivery report.
pub(super) struct TaggingProducer<C: ProducerContext<DeliveryOpaque = usize> + 'static> {
    /// Stands before the client, which must end after it.
    topic: Topic,
    client: BaseProducer<C>,
}

impl<C: ProducerContext<DeliveryOpaque = usize> + 'static> TaggingProducer<C> {
    pub(super) fn new(client: BaseProducer<C>, topic: &str) -> Result<TaggingProducer<C>, RDKafkaErrorCode> {
        let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        // SAFETY: the client is alive, the name a C string; without settings the client's defaults hold.
        let topic = unsafe { c::rd_kafka_topic_new(client.client().native_ptr(), name.as_ptr(), ptr::null_mut()) };
        Ok(TaggingProducer { topic: Topic(NonNull::new(topic).ok_or(RDKafkaErrorCode::InvalidTopic)?), client })
    }

    pub(super) fn client(&self) -> &BaseProducer<C> {
        &self.client
    }

    /// Queues a copy of a record; without a partition the key chooses one.
    pub(super) fn produce(
        &self,
        at: Option<i32>,
        key: &[u8],
        value: &[u8],
        tag: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        let key_start = if key.is_empty() { ptr::null() } else { key.as_ptr().cast() };
        let value_start = value.as_ptr().cast_mut().cast();
        // SAFETY: the topic is alive; key and value are copied before the call returns; the tag is only handed back, as
        // the `usize` that rdkafka makes of it. The error is that of this thread's last call.
        unsafe {
            let (topic, at, tag) = (self.topic.0.as_ptr(), at.unwrap_or(-1), ptr::without_provenance_mut(tag));
            let copy = c::RD_KAFKA_MSG_F_COPY;
            match c::rd_kafka_produce(topic, at, copy, value_start, value.len(), key_start, key.len(), tag) {
                0 => Ok(()),
                _ => Err(c::rd_kafka_last_error().into()),
            }
        }
    }

    /// As [`TopicProducer::flush`]; another thread serves the reports.
    pub(super) fn flush(&self, wait: Duration) -> bool {
        // SAFETY: the client is alive.
        let result = unsafe { c::rd_kafka_flush(self.client.client().native_ptr(), milliseconds(wait)) };
        result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
    }
}

fn milliseconds(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}

/// Null where there are none.
fn native_headers(headers: &Headers) -> *mut c::rd_kafka_headers_t {
    if headers.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: name and value are copied by the call, each with its length, which is far below the limit of isize.
    unsafe {
        let native = c::rd_kafka_headers_new(headers.len());
        for (name, value) in headers.iter() {
            let (value, length) = value.map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
            c::rd_kafka_header_add(
                native,
                name.as_ptr().cast(),
                name.len().cast_signed(),
                value.cast(),
                length.cast_signed(),
            );
        }
        native
    }
}
