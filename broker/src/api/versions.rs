//! The requests this broker answers and in which versions; what is absent here is announced to no client.

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};

/// Request, lowest and highest version.
///
/// Upper bounds below the codecs' own keep clients from features that are not here: topic ids in Produce (13) and
/// OffsetCommit (10), transactions V2 (Produce 12, AddPartitionsToTxn 4, TxnOffsetCommit 5, EndTxn 5), two-phase commit
/// (InitProducerId 6), tiered storage (ListOffsets 9), and KIP-848 groups (ConsumerGroupHeartbeat is absent).
pub const SUPPORTED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 11),
    (ApiKey::Fetch, 4, 16),
    (ApiKey::ListOffsets, 1, 8),
    (ApiKey::Metadata, 1, 13),
    (ApiKey::OffsetCommit, 2, 9),
    (ApiKey::OffsetFetch, 1, 9),
    (ApiKey::FindCoordinator, 0, 4),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 5),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::AddPartitionsToTxn, 0, 3),
    (ApiKey::AddOffsetsToTxn, 0, 4),
    (ApiKey::EndTxn, 0, 4),
    (ApiKey::TxnOffsetCommit, 0, 4),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 1),
    (ApiKey::DescribeProducers, 0, 0),
    (ApiKey::DescribeTransactions, 0, 0),
    (ApiKey::ListTransactions, 0, 1),
];

/// Whether the request is answered in this version.
pub fn is_supported(key: ApiKey, version: i16) -> bool {
    SUPPORTED.iter().any(|(known, low, high)| *known == key && (*low..=*high).contains(&version))
}

/// ApiVersions; an unknown version of it is answered too, in version 0 with an error, so that the client steps down.
pub fn handle(error_code: i16) -> ApiVersionsResponse {
    let api_keys = SUPPORTED
        .iter()
        .map(|(key, low, high)| {
            ApiVersion::default().with_api_key(*key as i16).with_min_version(*low).with_max_version(*high)
        })
        .collect();
    ApiVersionsResponse::default().with_error_code(error_code).with_api_keys(api_keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_versions_are_within_the_codecs() {
        for (key, low, high) in SUPPORTED {
            let valid = key.valid_versions();
            assert!(valid.min <= *low && *high <= valid.max && low <= high, "{key:?}");
        }
    }
}
