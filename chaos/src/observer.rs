//! A reader of the outputs while the faults go on: what it saw must stay, and its pauses are the users' pauses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use rdkafka::message::Message;

use crate::reading::{Decoding, Isolation, Values, reader};
use crate::verify::Place;
use crate::workload::Group;
use crate::{Failure, now_ms};

pub const OUTPUT_PARTITIONS: i32 = 6;

/// What was seen of one group's outputs.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Place, key and sequence, in the order of arrival.
    pub records: Vec<(Place, u32, i64)>,
    /// When each of them arrived.
    pub arrivals_ms: Vec<i64>,
}

impl Seen {
    /// The longest time without a record between two moments, in milliseconds, and when it began.
    pub fn longest_pause(&self, from_ms: i64, to_ms: i64) -> (i64, i64) {
        let within = self.arrivals_ms.iter().copied().filter(|at| (from_ms..to_ms).contains(at));
        let mut last = from_ms;
        let mut longest = (0, from_ms);
        for at in within.chain([to_ms]) {
            longest = longest.max((at - last, last));
            last = at;
        }
        longest
    }

    /// When the record at a place arrived.
    pub fn arrival_of(&self, place: &Place) -> Option<i64> {
        let at = self.records.iter().position(|(seen, _, _)| seen == place)?;
        self.arrivals_ms.get(at).copied()
    }
}

/// The reader on its thread.
pub struct Observer {
    ending: Arc<AtomicBool>,
    seen: Arc<[std::sync::Mutex<Seen>; 2]>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

impl Observer {
    pub fn start(bootstrap: &str) -> Result<Observer, Failure> {
        let topics = Group::ALL.map(Group::outputs);
        let consumer = reader(
            bootstrap,
            &[(&topics[0], OUTPUT_PARTITIONS), (&topics[1], OUTPUT_PARTITIONS)],
            Isolation::Committed,
        )?;
        let ending = Arc::new(AtomicBool::new(false));
        let seen: Arc<[std::sync::Mutex<Seen>; 2]> = Arc::default();
        let (told, kept) = (Arc::clone(&ending), Arc::clone(&seen));
        let thread = std::thread::Builder::new()
            .name("observer".to_owned())
            .spawn(move || observe(&consumer, &topics, &kept, &told))
            .map_err(Failure::io("the observer"))?;
        Ok(Observer { ending, seen, thread: Some(thread) })
    }

    /// How many records of a group were seen so far.
    pub fn count(&self, group: Group) -> usize {
        lock(&self.seen[group as usize]).records.len()
    }

    pub fn stop(mut self) -> Result<[Seen; 2], Failure> {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_else(|_| Err(Failure::Setup("the observer panicked".to_owned())))?;
        }
        Ok([0, 1].map(|at| lock(&self.seen[at]).clone()))
    }
}

fn lock(seen: &std::sync::Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn observe(
    consumer: &BaseConsumer,
    topics: &[String; 2],
    seen: &[std::sync::Mutex<Seen>; 2],
    ending: &AtomicBool,
) -> Result<(), Failure> {
    let mut decoding = Decoding::new()?;
    while !ending.load(Ordering::Relaxed) {
        // Whatever the client reports it goes on by itself; a reader that stays behind shows in the pauses.
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        let record = decoding.output(Values::Outputs, &message)?;
        let group = usize::from(message.topic() == topics[1]);
        let mut seen = lock(&seen[group]);
        seen.records.push((record.place, record.key, record.sequence));
        seen.arrivals_ms.push(now_ms());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_count_from_the_beginning_to_the_end() {
        let seen = Seen { arrivals_ms: vec![5, 110, 120, 190, 400], ..Seen::default() };
        assert_eq!(seen.longest_pause(100, 200), (70, 120));
        assert_eq!(seen.longest_pause(100, 300), (110, 190));
        assert_eq!(Seen::default().longest_pause(100, 300), (200, 100));
    }
}
