//! Calls of handlers: one record at a time or many that wait, retries in place, table writes collected, sizes checked.
//!
//! Nothing is sent from here: a call that is given up leaves no trace but what its handler did outside.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, Stream};

use crate::contract::{Codecs, RegistryError, SchemaRegistry};
use crate::kafka::Record;
use crate::process::{
    AnyHandler, ChangeMemory, Context, Deferred, Emissions, Failed, Failure, FailureClass, MAX_UNAVAILABLE_PAUSE,
    Outputs, PendingWrite, Processor, Started, TableWrites,
};
use crate::table::{AnyLookup, Change, PartitionTables};

/// What calls are bounded by.
#[derive(Debug, Clone)]
pub struct CallLimits {
    /// Calls of a handler with one record before it becomes a dead letter.
    pub max_attempts: u32,
    /// The pause before the second attempt; it doubles with each further one.
    pub retry_backoff: Duration,
    /// The largest key and value that a handler may emit.
    pub max_output_bytes: usize,
}

/// The handlers of one worker with what their calls need, and the calls that wait. `T` tells a waiting call's owner
/// which record it is of.
pub struct Calls<T> {
    processor: Processor,
    handlers: Vec<Box<dyn AnyHandler>>,
    codecs: Codecs,
    lookups: Vec<Arc<dyn AnyLookup>>,
    limits: CallLimits,
    /// Outputs of the call that has just ended.
    pub emissions: Emissions,
    /// Table writes of the call that has just ended.
    pub changes: Vec<Change>,
    /// What stream time moves on to by the call that has just ended; `None` where its record does not move it.
    pub stream_time_ms: Option<i64>,
    change_memory: ChangeMemory,
    writes: Vec<Arc<dyn PendingWrite>>,
    waiting: FuturesUnordered<WaitingCall<T>>,
}

/// A call that waits, with whose it is.
struct WaitingCall<T> {
    tag: T,
    step: LocalBoxFuture<'static, Step<T>>,
}

impl<T: Unpin> Future for WaitingCall<T> {
    type Output = Step<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Step<T>> {
        self.step.as_mut().poll(cx)
    }
}

/// A record with the handler that takes it.
#[derive(Debug)]
pub struct Call<T> {
    pub tag: T,
    pub record: Record,
    pub handler: usize,
    /// Counted from 1.
    pub attempt: u32,
}

/// How a call stands.
pub enum Called {
    /// It has ended: its outputs and table writes are in [`Calls::emissions`] and [`Calls::changes`].
    Done,
    /// The record can never succeed; nothing was emitted.
    GivenUp(Failed),
    /// It waits for something; to be given to [`Calls::wait`].
    Waits(Wait),
}

impl Called {
    /// Why the record was given up, where it was.
    pub fn failed(self) -> Option<Failed> {
        if let Called::GivenUp(failed) = self { Some(failed) } else { None }
    }
}

/// What a call waits for.
pub struct Wait(Waiting);

enum Waiting {
    Handler { call: LocalBoxFuture<'static, Result<Deferred, Failed>>, started: StartedCall },
    Retry(Duration),
}

/// What a waiting call has left with its extractors.
pub struct StartedCall {
    writes: Vec<Arc<dyn PendingWrite>>,
    stream_time_ms: Option<i64>,
}

/// A waiting call that can go on.
pub enum Step<T> {
    Returned { call: Call<T>, started: StartedCall, result: Result<Deferred, Failed> },
    TryAgain(Call<T>),
}

impl<T> Step<T> {
    /// Whose call it is.
    pub fn tag(&self) -> &T {
        match self {
            Step::Returned { call, .. } | Step::TryAgain(call) => &call.tag,
        }
    }
}

impl<T: Copy + Unpin + 'static> Calls<T> {
    /// # Errors
    /// Where a schema is refused by the registry, or the registry cannot be asked.
    pub fn new(
        processor: &Processor,
        registry: &Arc<dyn SchemaRegistry>,
        lookups: Vec<Arc<dyn AnyLookup>>,
        limits: CallLimits,
    ) -> Result<Calls<T>, RegistryError> {
        let mut codecs = Codecs::new(Arc::clone(registry));
        processor.declaration().add_codecs(&mut codecs)?;
        Ok(Calls {
            processor: processor.clone(),
            handlers: processor.new_handlers(),
            codecs,
            lookups,
            limits,
            emissions: Emissions::default(),
            changes: Vec::new(),
            stream_time_ms: None,
            change_memory: ChangeMemory::default(),
            writes: Vec::new(),
            waiting: FuturesUnordered::new(),
        })
    }

    /// The handler of an input topic.
    pub fn handler_of(&self, topic: &str) -> Option<usize> {
        self.handlers.iter().position(|handler| handler.input().name == topic)
    }

    /// Calls a handler with a record.
    pub fn start(&mut self, handler: usize, record: &Record, attempt: u32, tables: &PartitionTables) -> Called {
        self.emissions.clear();
        self.changes.clear();
        self.writes.clear();
        let mut context = Context {
            record,
            states: self.processor.states(),
            tables,
            lookups: &self.lookups,
            codecs: &mut self.codecs,
            writes: &mut self.writes,
            event_time_ms: record.timestamp_ms,
        };
        let started = self.handlers[handler].start(&mut context, &mut self.emissions);
        self.stream_time_ms = context.moves_stream_time_to_ms();
        match started {
            Started::Done(Ok(())) if self.writes.is_empty() => self.checked(Ok(()), attempt),
            Started::Done(Ok(())) => {
                let writes = std::mem::take(&mut self.writes);
                let collected = self.collect(&writes);
                self.writes = writes;
                self.checked(collected, attempt)
            }
            Started::Done(Err(failure)) => self.failed(failure, attempt),
            Started::Failed(failed) => self.given_up(failed, attempt),
            Started::Pending(call) => {
                let (writes, stream_time_ms) = (std::mem::take(&mut self.writes), self.stream_time_ms);
                let started = StartedCall { writes, stream_time_ms };
                Called::Waits(Wait(Waiting::Handler { call, started }))
            }
        }
    }

    /// Keeps a call until it can go on.
    pub fn wait(&mut self, call: Call<T>, wait: Wait) {
        let tag = call.tag;
        let step = match wait.0 {
            Waiting::Handler { call: handler, started } => {
                handler.map(move |result| Step::Returned { call, started, result }).boxed_local()
            }
            Waiting::Retry(pause) => tokio::time::sleep(pause).map(move |()| Step::TryAgain(call)).boxed_local(),
        };
        self.waiting.push(WaitingCall { tag, step });
    }

    /// The calls that wait.
    pub fn waiting(&mut self) -> &mut (impl Stream<Item = Step<T>> + Unpin + use<T>) {
        &mut self.waiting
    }

    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// The next call that can go on at once, if there is one.
    pub fn next_now(&mut self) -> Option<Step<T>> {
        if self.waiting.is_empty() { None } else { self.waiting.next().now_or_never().flatten() }
    }

    /// Drops the calls that wait and whose owner does not want them any more.
    pub fn keep(&mut self, is_wanted: impl Fn(&T) -> bool) {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().filter(|call| is_wanted(&call.tag)).collect();
    }

    /// Drops every call that waits.
    pub fn clear(&mut self) {
        self.waiting = FuturesUnordered::new();
    }

    /// Goes on with a call.
    pub fn resume(&mut self, step: Step<T>, tables: &PartitionTables) -> (Call<T>, Called) {
        match step {
            Step::TryAgain(call) => {
                let called = self.start(call.handler, &call.record, call.attempt, tables);
                (call, called)
            }
            Step::Returned { call, result: Err(failed), .. } => {
                let called = self.given_up(failed, call.attempt);
                (call, called)
            }
            Step::Returned { call, started, result: Ok(deferred) } => {
                let StartedCall { writes, stream_time_ms } = started;
                self.emissions.clear();
                self.changes.clear();
                self.stream_time_ms = stream_time_ms;
                // What a user's type does while it is emitted may panic as well as the handler itself.
                let emitted = catch_unwind(AssertUnwindSafe(|| {
                    deferred(&mut Outputs::new(&mut self.codecs, &mut self.emissions))
                }));
                let called = match emitted {
                    Ok(result) => {
                        let result = result.and_then(|()| self.collect(&writes));
                        self.checked(result, call.attempt)
                    }
                    Err(panic) => self.given_up(crate::process::panicked(&*panic), call.attempt),
                };
                (call, called)
            }
        }
    }

    fn collect(&mut self, writes: &[Arc<dyn PendingWrite>]) -> Result<(), Failure> {
        let mut collected = TableWrites::new(&mut self.codecs, &mut self.changes, &mut self.change_memory);
        writes.iter().try_for_each(|write| write.collect(&mut collected))
    }

    fn checked(&mut self, result: Result<(), Failure>, attempt: u32) -> Called {
        match result.and_then(|()| self.check_sizes()) {
            Ok(()) => Called::Done,
            Err(failure) => self.failed(failure, attempt),
        }
    }

    /// What Kafka would refuse must be rejected here: its refusal would abort the transaction, each time anew.
    fn check_sizes(&self) -> Result<(), Failure> {
        let limit = self.limits.max_output_bytes;
        let check = |bytes: usize, what: &str| match bytes <= limit {
            true => Ok(()),
            false => Err(Failure::reject(format!("an output for {what} has {bytes} bytes, more than {limit}"))),
        };
        if self.emissions.size_bytes() > limit {
            self.emissions.iter().try_for_each(|output| check(output.size_bytes(), output.topic.name))?;
        }
        self.changes.iter().try_for_each(|change| check(change.size_bytes(), "a table"))
    }

    /// What the call that has just ended leaves in memory until it is committed.
    pub fn result_bytes(&self) -> usize {
        self.emissions.size_bytes() + self.changes.iter().map(Change::size_bytes).sum::<usize>()
    }

    fn failed(&mut self, failure: Failure, attempt: u32) -> Called {
        match failure {
            Failure::Reject { reason } => {
                self.given_up(Failed { class: FailureClass::Rejected, reason, attempts: attempt }, attempt)
            }
            Failure::Late { reason } => {
                self.given_up(Failed { class: FailureClass::Late, reason, attempts: 0 }, attempt)
            }
            Failure::Retry { reason } if attempt >= self.limits.max_attempts => {
                self.given_up(Failed { class: FailureClass::RetriesExhausted, reason, attempts: attempt }, attempt)
            }
            Failure::Retry { .. } => Called::Waits(Wait(Waiting::Retry(self.backoff(attempt)))),
            Failure::Unavailable { reason } => {
                let (processor, pause) = (self.processor.name(), self.backoff(attempt).min(MAX_UNAVAILABLE_PAUSE));
                // Each time twice as late: it may last.
                if attempt.is_power_of_two() {
                    tracing::warn!(processor, reason, attempt, "a record waits for what its handler needs");
                }
                Called::Waits(Wait(Waiting::Retry(pause)))
            }
        }
    }

    fn backoff(&self, attempt: u32) -> Duration {
        self.limits.retry_backoff * 2_u32.saturating_pow(attempt - 1).min(1 << 10)
    }

    fn given_up(&mut self, mut failed: Failed, attempt: u32) -> Called {
        self.emissions.clear();
        self.changes.clear();
        self.stream_time_ms = None;
        if failed.class == FailureClass::Panicked {
            failed.attempts = attempt;
        }
        Called::GivenUp(failed)
    }
}

impl Wait {
    /// Whether the wait is for another attempt.
    pub fn is_retry(&self) -> bool {
        matches!(self.0, Waiting::Retry(_))
    }
}
