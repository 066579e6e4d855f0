//! From a frame to its response: header, version check, decode, the request's own code, encode.

use std::cell::RefCell;

use bytes::{Buf, Bytes};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::shape;
use crate::api::{cluster, configs, describe, fetch, groups, offsets, produce, topics, transactions, versions};
use crate::core::Core;
use crate::group::ClientInfo;

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("request of {0} bytes has no header")]
    Short(usize),
    #[error("unknown request {0}")]
    UnknownKey(i16),
    #[error("{key:?} version {version} is not supported")]
    UnknownVersion { key: ApiKey, version: i16 },
    #[error("{key:?} version {version} cannot be decoded: {reason}")]
    Malformed { key: ApiKey, version: i16, reason: String },
    #[error("response to {key:?} version {version} cannot be encoded: {reason}")]
    Unencodable { key: ApiKey, version: i16, reason: String },
}

/// Whether there is anything to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Respond,
    /// Produce with `acks=0`.
    Silent,
}

/// Key, version and correlation id come first in every header.
const MIN_REQUEST_BYTES: usize = 8;

struct Exchange<'a> {
    key: ApiKey,
    version: i16,
    body: Bytes,
    out: &'a mut Vec<u8>,
}

impl Exchange<'_> {
    fn request<T: Decodable>(&mut self) -> Result<T, RequestError> {
        let (key, version) = (self.key, self.version);
        T::decode(&mut self.body, version).map_err(|error| RequestError::Malformed {
            key,
            version,
            reason: error.to_string(),
        })
    }

    fn respond(&mut self, response: impl Encodable) -> Result<Outcome, RequestError> {
        let (key, version) = (self.key, self.version);
        response.encode(self.out, version).map_err(|error| RequestError::Unencodable {
            key,
            version,
            reason: error.to_string(),
        })?;
        Ok(Outcome::Respond)
    }
}

/// Answers one request into `out` (response header and body, without the length in front).
pub async fn answer(
    core: &RefCell<Core>,
    peer: &str,
    mut frame: Bytes,
    out: &mut Vec<u8>,
) -> Result<Outcome, RequestError> {
    if frame.len() < MIN_REQUEST_BYTES {
        return Err(RequestError::Short(frame.len()));
    }
    let (raw_key, version) = ((&frame[..2]).get_i16(), (&frame[2..4]).get_i16());
    let key = ApiKey::try_from(raw_key).map_err(|()| RequestError::UnknownKey(raw_key))?;
    if !versions::is_supported(key, version) {
        if key != ApiKey::ApiVersions {
            return Err(RequestError::UnknownVersion { key, version });
        }
        out.extend_from_slice(&frame[4..8]);
        let error = ResponseError::UnsupportedVersion.code();
        return Exchange { key, version: 0, body: Bytes::new(), out }.respond(versions::handle(error));
    }
    let malformed = |error: String| RequestError::Malformed { key, version, reason: error };
    let header = RequestHeader::decode(&mut frame, key.request_header_version(version))
        .map_err(|error| malformed(error.to_string()))?;
    if !shape::fits(key, version, &frame) {
        return Err(malformed("its lengths and counts do not fit its bytes".to_owned()));
    }
    ResponseHeader::default()
        .with_correlation_id(header.correlation_id)
        .encode(out, key.response_header_version(version))
        .map_err(|error| malformed(error.to_string()))?;
    let exchange = Exchange { key, version, body: frame, out };
    match key {
        ApiKey::Produce => produce_or_be_silent(core, exchange),
        ApiKey::Fetch => fetch_records(core, exchange).await,
        ApiKey::JoinGroup | ApiKey::SyncGroup => wait_for_group(core, header, peer, exchange).await,
        _ => answer_at_once(&mut core.borrow_mut(), exchange),
    }
}

fn produce_or_be_silent(core: &RefCell<Core>, mut exchange: Exchange<'_>) -> Result<Outcome, RequestError> {
    let request: kafka_protocol::messages::ProduceRequest = exchange.request()?;
    let acks = request.acks;
    let response = produce::handle(&mut core.borrow_mut(), request);
    if acks == 0 {
        return Ok(Outcome::Silent);
    }
    exchange.respond(response)
}

async fn fetch_records(core: &RefCell<Core>, mut exchange: Exchange<'_>) -> Result<Outcome, RequestError> {
    let request = exchange.request()?;
    fetch::handle(core, request, exchange.version, exchange.out).await;
    Ok(Outcome::Respond)
}

async fn wait_for_group(
    core: &RefCell<Core>,
    header: RequestHeader,
    peer: &str,
    mut exchange: Exchange<'_>,
) -> Result<Outcome, RequestError> {
    if exchange.key == ApiKey::SyncGroup {
        let request = exchange.request()?;
        let response = groups::sync(core, request).await;
        return exchange.respond(response);
    }
    let id = header.client_id.map(|id| id.to_string()).unwrap_or_default();
    let client = ClientInfo { id, host: peer.to_owned() };
    let request = exchange.request()?;
    let response = groups::join(core, request, exchange.version, client).await;
    exchange.respond(response)
}

fn answer_at_once(core: &mut Core, mut ex: Exchange<'_>) -> Result<Outcome, RequestError> {
    let version = ex.version;
    let now = std::time::Instant::now();
    match ex.key {
        ApiKey::ApiVersions => ex.respond(versions::handle(0)),
        ApiKey::Metadata => ex.request().and_then(|request| ex.respond(cluster::metadata(core, request, version))),
        ApiKey::DescribeCluster => ex.respond(cluster::describe_cluster(core)),
        ApiKey::FindCoordinator => {
            ex.request().and_then(|request| ex.respond(cluster::find_coordinator(core, request, version)))
        }
        ApiKey::ListOffsets => ex.request().and_then(|request| ex.respond(offsets::list(core, request))),
        ApiKey::OffsetForLeaderEpoch => {
            ex.request().and_then(|request| ex.respond(offsets::for_leader_epoch(core, request)))
        }
        ApiKey::CreateTopics => ex.request().and_then(|request| ex.respond(topics::create_topics(core, request))),
        ApiKey::DeleteTopics => ex.request().and_then(|request| ex.respond(topics::delete_topics(core, request))),
        ApiKey::CreatePartitions => {
            ex.request().and_then(|request| ex.respond(topics::create_partitions(core, request)))
        }
        ApiKey::DeleteRecords => ex.request().and_then(|request| ex.respond(topics::delete_records(core, request))),
        ApiKey::DescribeConfigs => ex.request().and_then(|request| ex.respond(configs::describe(core, request))),
        ApiKey::AlterConfigs => ex.request().and_then(|request| ex.respond(configs::alter(core, request))),
        ApiKey::IncrementalAlterConfigs => {
            ex.request().and_then(|request| ex.respond(configs::alter_incrementally(core, request)))
        }
        ApiKey::InitProducerId => {
            ex.request().and_then(|request| ex.respond(transactions::init_producer_id(core, request, version)))
        }
        ApiKey::AddPartitionsToTxn => {
            ex.request().and_then(|request| ex.respond(transactions::add_partitions(core, request, version)))
        }
        ApiKey::AddOffsetsToTxn => {
            ex.request().and_then(|request| ex.respond(transactions::add_offsets(core, request, version)))
        }
        ApiKey::TxnOffsetCommit => {
            ex.request().and_then(|request| ex.respond(transactions::commit_offsets(core, request)))
        }
        ApiKey::EndTxn => ex.request().and_then(|request| ex.respond(transactions::end(core, request, version))),
        ApiKey::DescribeTransactions => {
            ex.request().and_then(|request| ex.respond(describe::transactions(core, request)))
        }
        ApiKey::ListTransactions => {
            ex.request().and_then(|request| ex.respond(describe::list_transactions(core, request)))
        }
        ApiKey::DescribeProducers => ex.request().and_then(|request| ex.respond(describe::producers(core, request))),
        ApiKey::Heartbeat => ex.request().and_then(|request| ex.respond(core.groups.heartbeat(now, request))),
        ApiKey::LeaveGroup => ex.request().and_then(|request| ex.respond(groups::leave(core, request, version))),
        ApiKey::OffsetCommit => ex.request().and_then(|request| ex.respond(groups::commit_offsets(core, request))),
        ApiKey::OffsetFetch => ex.request().and_then(|request| ex.respond(core.groups.fetch_offsets(request, version))),
        ApiKey::ListGroups => ex.request().and_then(|request| ex.respond(core.groups.list(&request))),
        ApiKey::DescribeGroups => ex.request().and_then(|request| ex.respond(core.groups.describe(&request, version))),
        ApiKey::DeleteGroups => ex.request().and_then(|request| ex.respond(groups::delete(core, request))),
        ApiKey::OffsetDelete => ex.request().and_then(|request| ex.respond(groups::delete_offsets(core, request))),
        key => Err(RequestError::UnknownVersion { key, version }),
    }
}
