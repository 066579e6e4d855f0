//! The brokers' own log of transactions: who began, committed and aborted when.
//!
//! The layouts are Kafka's `TransactionLogKey` (version 0) and `TransactionLogValue` (versions 0 and 1, which begin alike).

use rdkafka::message::Message;

use crate::Failure;
use crate::cluster::{Cluster, TRANSACTIONS_LOG};
use crate::group_log::Fields;
use crate::reading::{Isolation, read_topic};

/// One step of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub at_ms: i64,
    pub id: String,
    pub producer: i64,
    pub epoch: i16,
    pub state: &'static str,
}

/// Every step of the transactions around some moments.
pub fn read_steps(cluster: &Cluster, is_wanted: impl Fn(i64) -> bool) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    read_topic(
        &cluster.bootstrap(),
        TRANSACTIONS_LOG,
        cluster.partitions(TRANSACTIONS_LOG)?,
        Isolation::Committed,
        |message| {
            let at_ms = message.timestamp().to_millis().unwrap_or(-1);
            if is_wanted(at_ms) {
                let id = message.key().and_then(id_of);
                steps.extend(id.zip(message.payload()).and_then(|(id, value)| step_of(at_ms, id, value)));
            }
            Ok(())
        },
    )?;
    steps.sort_by_key(|step| step.at_ms);
    Ok(steps)
}

fn id_of(key: &[u8]) -> Option<String> {
    let mut fields = Fields(key);
    (fields.i16()? == 0).then(|| fields.text())?
}

fn step_of(at_ms: i64, id: String, value: &[u8]) -> Option<Step> {
    let mut fields = Fields(value);
    fields.i16().filter(|version| (0..=1).contains(version))?;
    let (producer, epoch, _timeout) = (fields.i64()?, fields.i16()?, fields.i32()?);
    let state = match fields.bytes(1)?.first()? {
        0 => "empty",
        1 => "ongoing",
        2 => "commit prepared",
        3 => "abort prepared",
        4 => "committed",
        5 => "aborted",
        6 => "dead",
        7 => "fence prepared",
        _ => "unknown",
    };
    Some(Step { at_ms, id, producer, epoch, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_tells_who_did_what() {
        let value =
            [&1_i16.to_be_bytes()[..], &7_i64.to_be_bytes(), &3_i16.to_be_bytes(), &[0; 4], &[4, 0, 0]].concat();
        let step = step_of(5, "id".into(), &value).unwrap();
        assert_eq!(step, Step { at_ms: 5, id: "id".into(), producer: 7, epoch: 3, state: "committed" });
        assert_eq!(step_of(5, "id".into(), &[0, 9]), None);
    }
}
