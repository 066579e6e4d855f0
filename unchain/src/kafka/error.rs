//! What can go wrong between this process and Kafka, and what to do about it.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

/// What the caller of a failed operation should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same call may succeed later: wait and call again.
    Retry,
    /// The open transaction must be aborted and its records read again.
    Abort,
    /// The client is of no further use: build it anew from the last commit.
    Rebuild,
    /// Somebody has to change something first: configuration, topics, rights.
    Stop,
}

/// A failed operation on Kafka.
#[derive(Debug, Clone, Error)]
pub enum ClientError {
    #[error(
        "no Kafka broker answered at {bootstrap_servers} within {} ms: check the address, and that the broker runs \
         (`unchain broker --listen {bootstrap_servers}` starts one for development)",
        .waited.as_millis()
    )]
    Unreachable { bootstrap_servers: String, waited: Duration },
    #[error("the Kafka client refused its settings: {reason}")]
    Settings { reason: String },
    #[error("{operation} failed: {reason}")]
    Operation { operation: &'static str, reason: String, kind: ErrorKind },
    #[error("{operation} of topic {topic} failed: {reason}")]
    Topic { operation: &'static str, topic: String, reason: String, kind: ErrorKind },
    #[error("{operation} did not finish within {} ms", .waited.as_millis())]
    TimedOut { operation: &'static str, waited: Duration },
}

impl ClientError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            ClientError::Unreachable { .. } | ClientError::TimedOut { .. } => ErrorKind::Retry,
            ClientError::Settings { .. } => ErrorKind::Stop,
            ClientError::Operation { kind, .. } | ClientError::Topic { kind, .. } => *kind,
        }
    }

    pub(crate) fn operation(operation: &'static str, error: &KafkaError) -> ClientError {
        ClientError::Operation { operation, reason: reason(error), kind: classify(error) }
    }

    pub(crate) fn topic(operation: &'static str, topic: &str, error: &KafkaError) -> ClientError {
        ClientError::Topic { operation, topic: topic.to_owned(), reason: reason(error), kind: classify(error) }
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
    if let KafkaError::Transaction(error) = error {
        return if error.is_fatal() {
            ErrorKind::Rebuild
        } else if error.txn_requires_abort() {
            ErrorKind::Abort
        } else if error.is_retriable() {
            ErrorKind::Retry
        } else {
            ErrorKind::Rebuild
        };
    }
    if let KafkaError::MessageConsumptionFatal(_) = error {
        return ErrorKind::Rebuild;
    }
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced) => ErrorKind::Rebuild,
        _ => ErrorKind::Retry,
    }
}

/// Rights and settings do not mend themselves, whatever the call that failed on them.
fn needs_somebody(error: &KafkaError) -> bool {
    let code = match error {
        KafkaError::Transaction(error) => Some(error.code()),
        other => other.rdkafka_error_code(),
    };
    matches!(
        code,
        Some(
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
    )
}
