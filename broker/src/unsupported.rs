//! What this broker does not support, stated once; the conformance suite and the command print it.

/// Feature and consequence.
pub const UNSUPPORTED: &[(&str, &str)] = &[
    ("replication, several brokers", "one node, one replica, leader epoch 0; a replication factor above 1 is refused"),
    ("fsync", "a killed process loses nothing that was acknowledged to a data directory; a power loss can"),
    ("authentication, encryption, ACLs, quotas", "plaintext only; everyone may do everything; nothing is throttled"),
    ("KIP-848 consumer groups, share groups", "not announced: clients use the classic group protocol"),
    ("transactions V2 (KIP-890 part 2), two-phase commit", "not announced: clients use transactions V1"),
    ("incremental fetch sessions (KIP-227)", "declined with session id 0: every fetch names all of its partitions"),
    ("message formats 0 and 1", "refused with UNSUPPORTED_FOR_MESSAGE_FORMAT; Produce starts at version 3"),
    ("topic configuration compression.type", "kept and shown; batches stay as the producer compressed them"),
    (
        "other topic configurations about files, flushing, replicas, timestamps bounds and compaction lag",
        "kept and shown, without effect (`obeyed` in topics::settings tells which are obeyed)",
    ),
    ("broker configurations by AlterConfigs", "refused: they are set in BrokerConfig when the broker starts"),
    ("ElectLeaders, reassignments, log directories, quotas, SCRAM, delegation tokens", "not announced"),
    ("committed offsets' retention", "offsets of an empty group stay until they are deleted"),
    ("CONCURRENT_TRANSACTIONS", "hardly ever seen: ending a transaction is synchronous, so nobody has to wait for it"),
    ("closing idle segments", "every segment of a data directory keeps a file open: raise segment.bytes for much data"),
    (
        "a thread of its own for compaction",
        "it runs between requests, one partition at a time: a large one delays them",
    ),
    ("__consumer_offsets and __transaction_state", "not topics here: their contents are in the metadata journal"),
];
