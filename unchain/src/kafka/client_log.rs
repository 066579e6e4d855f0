//! What librdkafka says beside its calls: its log, through `tracing`, and the last cause why no broker answered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// The context of clients whose events nobody waits for, and a part of the others'.
#[derive(Debug, Default)]
pub(crate) struct ClientLog {
    cause: Mutex<Option<String>>,
    closing: AtomicBool,
}

impl ClientLog {
    /// Why a connection last failed, in librdkafka's words.
    pub(super) fn cause(&self) -> Option<String> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on the client only closes, aside: what it meets with there is nobody's trouble.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }
}

impl ClientContext for ClientLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            _ if self.is_closing() => tracing::debug!(target: "librdkafka", facility, "{message}"),
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::error!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Readers ask to be told, and it is no fault.
        if matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::PartitionEOF)) {
            return;
        }
        if self.is_closing() {
            return tracing::debug!(target: "librdkafka", %error, "{reason}");
        }
        tracing::warn!(target: "librdkafka", %error, "{reason}");
        let mut cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" follows upon what brought them down, and says less.
        if cause.is_none() || error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *cause = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for ClientLog {}
