//! A Kafka of a few lines: logs with transactions, committed offsets, fencing by epoch and by the group's generation.

use std::collections::BTreeMap;

/// One transactional id's state at its coordinator.
#[derive(Debug, Default, Clone)]
struct Coordinator {
    epoch: u64,
    open: Option<Open>,
}

#[derive(Debug, Default, Clone)]
struct Open {
    offsets: BTreeMap<usize, i64>,
}

/// A record of an output or a changelog, with the transaction that wrote it.
#[derive(Debug, Clone)]
pub struct Logged {
    pub key: u8,
    /// The input partition and offset that it came from.
    pub input: (usize, i64),
    /// The key's count after the input.
    pub count: u64,
    writer: (usize, u64),
    /// `None` while its transaction is open.
    pub committed: Option<bool>,
}

/// Refused: the caller is fenced, or its transaction cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused;

#[derive(Debug)]
pub struct FakeKafka {
    /// By input partition: keys of the records.
    pub input: Vec<Vec<u8>>,
    /// By output partition.
    pub output: Vec<Vec<Logged>>,
    /// By partition, as the input's.
    pub changelog: Vec<Vec<Logged>>,
    pub committed: Vec<i64>,
    coordinators: BTreeMap<usize, Coordinator>,
    /// The group's owner of each partition, and its generation.
    pub owners: Vec<Option<usize>>,
    pub generation: u64,
}

impl FakeKafka {
    pub fn new(input: Vec<Vec<u8>>) -> FakeKafka {
        let partitions = input.len();
        FakeKafka {
            input,
            output: vec![Vec::new(); partitions],
            changelog: vec![Vec::new(); partitions],
            committed: vec![0; partitions],
            coordinators: BTreeMap::new(),
            owners: vec![None; partitions],
            generation: 0,
        }
    }

    /// Registers an id: fences its earlier owner and aborts what that left open.
    pub fn init(&mut self, id: usize) -> u64 {
        self.end(id, false);
        let coordinator = self.coordinators.entry(id).or_default();
        coordinator.epoch += 1;
        coordinator.epoch
    }

    pub fn begin(&mut self, id: usize, epoch: u64) -> Result<(), Refused> {
        let coordinator = self.current(id, epoch)?;
        assert!(coordinator.open.is_none(), "a transaction begins while another of the same producer is open");
        coordinator.open = Some(Open::default());
        Ok(())
    }

    fn current(&mut self, id: usize, epoch: u64) -> Result<&mut Coordinator, Refused> {
        self.coordinators.get_mut(&id).filter(|coordinator| coordinator.epoch == epoch).ok_or(Refused)
    }

    pub fn send(&mut self, id: usize, epoch: u64, record: (u8, (usize, i64), u64)) -> Result<(), Refused> {
        self.current(id, epoch)?.open.as_ref().ok_or(Refused)?;
        let (key, input, count) = record;
        let logged = Logged { key, input, count, writer: (id, epoch), committed: None };
        let partition = usize::from(key) % self.output.len();
        self.output[partition].push(logged.clone());
        self.changelog[input.0].push(logged);
        Ok(())
    }

    /// Adds offsets to the open transaction, unless the group has moved on (KIP-447).
    pub fn send_offsets(
        &mut self,
        id: usize,
        epoch: u64,
        offsets: &[(usize, i64)],
        generation: u64,
    ) -> Result<(), Refused> {
        if generation != self.generation {
            return Err(Refused);
        }
        let open = self.current(id, epoch)?.open.as_mut().ok_or(Refused)?;
        open.offsets.extend(offsets.iter().copied());
        Ok(())
    }

    pub fn commit(&mut self, id: usize, epoch: u64) -> Result<(), Refused> {
        self.current(id, epoch)?.open.as_ref().ok_or(Refused)?;
        self.end(id, true);
        Ok(())
    }

    pub fn abort(&mut self, id: usize, epoch: u64) -> Result<(), Refused> {
        self.current(id, epoch)?;
        self.end(id, false);
        Ok(())
    }

    fn end(&mut self, id: usize, commits: bool) {
        let Some(coordinator) = self.coordinators.get_mut(&id) else { return };
        let (epoch, Some(open)) = (coordinator.epoch, coordinator.open.take()) else { return };
        for logged in self.output.iter_mut().chain(&mut self.changelog).flatten() {
            if logged.writer == (id, epoch) && logged.committed.is_none() {
                logged.committed = Some(commits);
            }
        }
        for (partition, offset) in open.offsets.into_iter().filter(|_| commits) {
            self.committed[partition] = offset;
        }
    }

    /// Whether a partition's committed offset and changelog are decided: no open transaction touches them.
    pub fn is_decided(&self, partition: usize) -> bool {
        let holds = |coordinator: &Coordinator| {
            coordinator.open.as_ref().is_some_and(|open| open.offsets.contains_key(&partition))
        };
        !self.coordinators.values().any(holds)
            && self.changelog[partition].iter().all(|logged| logged.committed.is_some())
    }

    /// The broker's own time-out of open transactions whose owners are gone.
    pub fn time_out(&mut self, is_gone: impl Fn(usize) -> bool) {
        let ids: Vec<usize> = self.coordinators.keys().copied().filter(|id| is_gone(*id)).collect();
        for id in ids {
            self.end(id, false);
            self.coordinators.entry(id).or_default().epoch += 1;
        }
    }
}
