//! What can go wrong between this process and Kafka, and what to do about it.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

use super::TopicPartition;
use super::native::TransactionError;

/// What the caller of a failed operation should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same call may succeed later: wait and call again.
    Retry,
    /// The open transaction must be aborted and its records read again.
    Abort,
    /// The client is of no further use: build it anew from the last commit.
    Rebuild,
    /// The same, since another client has taken this one's name.
    Fenced,
    /// Somebody has to change something first: configuration, topics, rights.
    Stop,
}

/// A failed operation on Kafka.
#[derive(Debug, Clone, Error)]
pub enum ClientError {
    #[error(
        "no Kafka broker answered at {bootstrap_servers} within {} ms{}: check the address, and that the broker runs \
         (`unchain broker --listen {bootstrap_servers}` starts one for development)",
        .waited.as_millis(), in_brackets(.cause.as_deref())
    )]
    Unreachable {
        bootstrap_servers: String,
        waited: Duration,
        /// What the client last reported: a refused connection, a failed TLS or SASL handshake.
        cause: Option<String>,
    },
    #[error("the Kafka client refused its settings: {reason}")]
    Settings { reason: String },
    #[error("{operation} failed: {reason}")]
    Operation { operation: &'static str, reason: String, kind: ErrorKind },
    #[error("{operation} of topic {topic} failed: {reason}")]
    Topic { operation: &'static str, topic: String, reason: String, kind: ErrorKind },
    #[error("{operation} of {topic}/{partition} failed: {reason}")]
    Partition { operation: &'static str, topic: String, partition: i32, reason: String, kind: ErrorKind },
    #[error(
        "the records of {topic}/{partition} at offset {} are gone, deleted by the topic's retention before they were \
         read: {reason}. Records are lost; to go on without them, set the group's offset",
        .offset.map_or_else(|| "unknown".to_owned(), |offset| offset.to_string())
    )]
    OffsetOutOfRange { topic: String, partition: i32, offset: Option<i64>, reason: String },
    #[error("{operation} did not finish within {} ms", .waited.as_millis())]
    TimedOut { operation: &'static str, waited: Duration },
    #[error("{operation} of {topic}/{partition} did not finish within {} ms", .waited.as_millis())]
    PartitionTimedOut { operation: &'static str, topic: String, partition: i32, waited: Duration },
}

fn in_brackets(text: Option<&str>) -> String {
    text.map(|text| format!(" ({text})")).unwrap_or_default()
}

impl ClientError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            ClientError::Unreachable { .. } | ClientError::TimedOut { .. } | ClientError::PartitionTimedOut { .. } => {
                ErrorKind::Retry
            }
            ClientError::Settings { .. } | ClientError::OffsetOutOfRange { .. } => ErrorKind::Stop,
            ClientError::Operation { kind, .. }
            | ClientError::Topic { kind, .. }
            | ClientError::Partition { kind, .. } => *kind,
        }
    }

    /// The same error where an abort is the answer to what a repeated call might mend.
    #[must_use]
    pub fn into_abort(mut self) -> ClientError {
        match &mut self {
            ClientError::Operation { kind, .. }
            | ClientError::Topic { kind, .. }
            | ClientError::Partition { kind, .. }
                if *kind == ErrorKind::Retry =>
            {
                *kind = ErrorKind::Abort;
                self
            }
            ClientError::Unreachable { .. } | ClientError::TimedOut { .. } | ClientError::PartitionTimedOut { .. } => {
                ClientError::Operation { operation: "a call", reason: self.to_string(), kind: ErrorKind::Abort }
            }
            _ => self,
        }
    }

    pub(crate) fn operation(operation: &'static str, error: &KafkaError) -> ClientError {
        ClientError::Operation { operation, reason: reason(error), kind: classify(error) }
    }

    pub(crate) fn topic(operation: &'static str, topic: &str, error: &KafkaError) -> ClientError {
        ClientError::Topic { operation, topic: topic.to_owned(), reason: reason(error), kind: classify(error) }
    }

    pub(super) fn partition(operation: &'static str, at: &TopicPartition, error: &KafkaError) -> ClientError {
        let (topic, partition) = (at.topic.to_string(), at.partition);
        ClientError::Partition { operation, topic, partition, reason: reason(error), kind: classify(error) }
    }

    /// What a partition's queue reports instead of a record: its offset, code and text.
    pub(super) fn fetch(at: &TopicPartition, offset: i64, code: RDKafkaErrorCode, text: &str) -> ClientError {
        let (topic, partition) = (at.topic.to_string(), at.partition);
        if matches!(code, RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) {
            let offset = (offset >= 0).then_some(offset);
            return ClientError::OffsetOutOfRange { topic, partition, offset, reason: text.to_owned() };
        }
        let kind = classify(&KafkaError::MessageConsumption(code));
        ClientError::Partition { operation: "fetch", topic, partition, reason: format!("{text} ({code})"), kind }
    }

    pub(super) fn transaction(operation: &'static str, error: &TransactionError) -> ClientError {
        let reason = format!("{} ({:?})", error.text, error.code);
        ClientError::Operation { operation, reason, kind: error.kind() }
    }
}

impl TransactionError {
    fn kind(&self) -> ErrorKind {
        if is_for_somebody(self.code) {
            return ErrorKind::Stop;
        }
        if is_fencing(self.code) {
            return ErrorKind::Fenced;
        }
        advice(self.is_fatal, self.requires_abort, self.is_retriable)
    }
}

fn advice(is_fatal: bool, requires_abort: bool, is_retriable: bool) -> ErrorKind {
    match (is_fatal, requires_abort, is_retriable) {
        (true, ..) => ErrorKind::Rebuild,
        (_, true, _) => ErrorKind::Abort,
        (.., true) => ErrorKind::Retry,
        // What librdkafka does not classify is not to be guessed at.
        _ => ErrorKind::Rebuild,
    }
}

fn reason(error: &KafkaError) -> String {
    match error {
        // The library's own text names only the code; librdkafka's says what happened.
        KafkaError::Transaction(error) => format!("{} ({:?})", error.string(), error.code()),
        other => other.to_string(),
    }
}

/// librdkafka says of each transaction error whether to retry, abort or give up; other errors are told apart by code.
pub(crate) fn classify(error: &KafkaError) -> ErrorKind {
    if needs_somebody(error) {
        return ErrorKind::Stop;
    }
    if code(error).is_some_and(is_fencing) {
        return ErrorKind::Fenced;
    }
    if let KafkaError::Transaction(error) = error {
        return advice(error.is_fatal(), error.txn_requires_abort(), error.is_retriable());
    }
    if let KafkaError::MessageConsumptionFatal(_) = error {
        return ErrorKind::Rebuild;
    }
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::Fatal) => ErrorKind::Rebuild,
        // The group has gone on without this member: what it holds is to be read again by whoever holds it now.
        Some(
            RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::RebalanceInProgress
            | RDKafkaErrorCode::StaleMemberEpoch
            | RDKafkaErrorCode::FencedMemberEpoch
            | RDKafkaErrorCode::AssignmentLost,
        ) => ErrorKind::Abort,
        _ => ErrorKind::Retry,
    }
}

fn needs_somebody(error: &KafkaError) -> bool {
    code(error).is_some_and(is_for_somebody)
}

fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::Transaction(error) => Some(error.code()),
        other => other.rdkafka_error_code(),
    }
}

/// A transactional id or a member's name that another has taken.
fn is_fencing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::FencedInstanceId
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
    )
}

/// What a reader meets while a broker is away: the client reconnects and asks again by itself.
pub(super) fn is_passing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::Resolve
    )
}

/// Rights and settings do not mend themselves, whatever the call that failed on them.
fn is_for_somebody(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::UnsupportedVersion
            | RDKafkaErrorCode::InvalidReplicationFactor
            | RDKafkaErrorCode::InvalidPartitions
            | RDKafkaErrorCode::InvalidConfig
            | RDKafkaErrorCode::InvalidTransactionTimeout
            | RDKafkaErrorCode::InconsistentGroupProtocol
    )
}
