//! One suite for every broker: the same checks, by an ordinary librdkafka client, run on the development broker and on
//! Apache Kafka.
//!
//! The development broker runs always, inside this process. Apache Kafka runs where `UNCHAIN_TEST_KAFKA=host:port` names
//! one; its `group.min.session.timeout.ms` must be 1000 or less. A check that passes on one broker and fails on the other
//! is a fault of the development broker, or belongs to its declared gaps, `unchain_broker::UNSUPPORTED`.
//!
//! Most of the time goes into waiting for brokers, so more threads than cores help: `-- --test-threads 8`.
#![allow(clippy::unwrap_used)]

mod child;
mod client;
mod compression;
mod exactly_once;
mod groups;
mod idempotence;
mod offsets;
mod proxy;
mod raw;
mod reading;
mod records;
mod restart;
mod sharing;
mod site;
mod static_members;
mod times;
mod topics;
mod transaction_offsets;
mod transactions;
mod trimming;

/// Makes two tests of each check: `embedded::subject::check` and `kafka::subject::check`.
macro_rules! checks {
    ($($subject:ident { $($check:ident),+ $(,)? })+) => {
        mod embedded {
            $(mod $subject { $(#[test] fn $check() { crate::site::on_embedded(crate::$subject::$check); })+ })+
        }
        mod kafka {
            $(mod $subject { $(#[test] fn $check() { crate::site::on_kafka(crate::$subject::$check); })+ })+
        }
    };
}

checks! {
    topics {
        created_topics_are_described,
        deleted_topics_are_gone,
        partitions_grow,
        configs_are_read_and_altered,
        unknown_topics_are_refused,
        watermarks_follow_the_records,
    }
    compression {
        records_survive_uncompressed,
        records_survive_lz4,
        records_survive_gzip,
        records_survive_snappy,
        records_survive_zstd,
    }
    records {
        keys_headers_and_nulls_are_kept,
        a_record_of_one_megabyte_is_kept,
        too_large_a_record_is_refused,
        a_waiting_fetch_is_woken_by_a_record,
    }
    times {
        create_time_is_the_producers,
        append_time_is_the_brokers,
        offsets_are_found_by_time,
    }
    reading {
        a_new_group_starts_where_it_is_told,
        an_offset_out_of_range_resets_as_told,
    }
    trimming {
        deleted_records_move_the_log_start,
        compaction_keeps_the_last_of_each_key,
    }
    idempotence {
        cut_connections_neither_lose_nor_double_records,
    }
    sharing {
        members_share_by_range,
        members_share_by_round_robin,
        members_share_cooperatively,
        a_leaving_member_hands_over,
        a_killed_member_is_replaced,
    }
    static_members {
        a_restart_causes_no_rebalance,
        the_older_double_is_fenced,
    }
    offsets {
        committed_offsets_resume,
        a_stale_generation_may_not_commit,
        an_unknown_group_has_no_offsets,
        an_unknown_topic_takes_no_commit,
        a_deleted_topic_forgets_its_commits,
    }
    groups {
        groups_are_listed_and_described,
        only_empty_groups_are_deleted,
    }
    transactions {
        committed_records_are_visible,
        aborted_records_are_not,
        an_open_transaction_holds_readers_back,
        transactions_are_read_in_the_order_of_offsets,
        markers_occupy_offsets,
        a_new_producer_fences_the_old_at_once,
        a_hung_transaction_is_aborted_and_fenced,
    }
    transaction_offsets {
        offsets_commit_with_the_transaction,
        pending_offsets_hold_readers_back,
        a_stale_generation_may_not_send_offsets,
    }
    exactly_once {
        crashes_neither_lose_nor_double_records,
    }
}
