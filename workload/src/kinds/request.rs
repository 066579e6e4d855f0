//! `request`: requests to one topic, replies to another, matched by a correlation id; so many in flight, or at a rate.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use unchain::kafka::{LoadProducer, Sent};

use super::end_to_end::await_received;
use super::join_all;
use super::produce::{refuse_failures, send_all};
use crate::BenchError;
use crate::load::{ByProducer, Outlet, Permits, Producing};
use crate::receiving::Receiver;
use crate::records::{PRIMING_VALUE, stamp};
use crate::result::Run;
use crate::schedule::Clock;
use crate::stage::{Stage, paced_run};
use crate::tally::{PRIMING, Tally};

/// When each request that has no reply yet was due, by its correlation id.
type Pending = Mutex<HashMap<u64, u64>>;

pub(super) fn run(stage: &Stage<'_>) -> Result<Run, BenchError> {
    let topics = stage.cluster.create_topics(2, stage.workload.partitions)?;
    let (requests, replies) = (&topics[..1], &topics[1..]);
    let receiver = |topics: &[String]| {
        let share: Vec<_> = stage.shares(topics, 1).into_iter().flatten().collect();
        Receiver::open(stage.connection(), &share)
    };
    let (mut request_receiver, mut reply_receiver) = (receiver(requests)?, receiver(replies)?);
    let (pending, stop) = (&Pending::default(), &AtomicBool::new(false));
    let permits = &Permits::new(stage.workload.in_flight.into());
    let clock = Clock::start();
    let answered = Arc::new(Tally::new(clock.clone(), stage.window()));
    let received = [Tally::new(clock.clone(), stage.window())];
    let ended = &received[0];
    let answering = stage.producing(replies, 0, &answered)?.producer;
    let (loaded, used) = std::thread::scope(|scope| {
        let answering = scope.spawn(move || answer(&mut request_receiver, &answering, stop));
        let on_reply = |value: &[u8]| {
            let id = stamp(value).unwrap_or(u64::MAX);
            let due = pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            if let Some(due_nanos) = due {
                ended.end(due_nanos);
                permits.give_back(1);
            } else if id == PRIMING {
                ended.end(PRIMING);
            }
            Ok(())
        };
        let receiving = scope.spawn(move || reply_receiver.run(stop, on_reply));
        let ask = || {
            let outlets = stage.all_producing(requests, &clock)?;
            let plain = outlets.iter().map(|(outlet, _)| outlet);
            let usage = stage.prime(plain, &PRIMING_VALUE, &received, &clock)?;
            let asking = |plain| Asking { plain, pending, next_id: 0 };
            let outlets = outlets.into_iter().map(|(plain, tally)| (asking(plain), tally)).collect();
            let in_flight = stage.workload.rate.per_second().is_none().then_some(permits);
            let loaded = send_all(stage, outlets, &clock, in_flight)?;
            await_received(stage, &received, loaded.acknowledged())?;
            Ok((loaded, usage.stop()))
        };
        let asked = ask();
        stop.store(true, Ordering::Release);
        join_all(vec![answering, receiving]).and(asked)
    })?;
    let received = received[0].counts();
    refuse_failures(answered.counts().failed, None)?;
    Ok(paced_run(stage, loaded.facts(received.ended), &received, &used))
}

/// Sends each request back as its reply.
fn answer(receiver: &mut Receiver, producer: &LoadProducer<Tally>, stop: &AtomicBool) -> Result<(), BenchError> {
    receiver.run(stop, |value| {
        // Without a key: any partition will do, since all replies go to the one requester.
        while producer.send(None, &[], value, 0)? == Sent::Full {
            if stop.load(Ordering::Acquire) {
                break;
            }
            producer.wait_for_room();
        }
        Ok(())
    })
}

/// Requests, each with its id in place of a stamp.
struct Asking<'a> {
    plain: Producing,
    pending: &'a Pending,
    next_id: u64,
}

impl Outlet for Asking<'_> {
    fn advance(&mut self, due_nanos: u64) -> Result<(), BenchError> {
        self.plain.records.advance(self.next_id);
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(self.next_id, due_nanos);
        self.next_id += 1;
        Ok(())
    }

    fn send(&mut self, due_nanos: u64) -> Result<Sent, BenchError> {
        self.plain.send(due_nanos)
    }

    fn wait_for_room(&self) {
        self.plain.wait_for_room();
    }
}

impl ByProducer for Asking<'_> {
    fn producing(&self) -> &Producing {
        &self.plain
    }
}
