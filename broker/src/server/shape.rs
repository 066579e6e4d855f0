//! Refuses a request whose counts promise more than its bytes can hold, before the codecs allocate for it.
//!
//! The codec crate reserves memory for as many elements as an array's count says, so that four wrong bytes could end the
//! process. Each request's layout is therefore written down here and walked first; the walk allocates nothing.
//!
//! Layout: `1 2 4 8 16` are fixed bytes, `s` a string, `y` bytes, `(x)` an array of plain values, `[...]` an array of
//! structs; `3+:` and `3-5:` say in which versions a field is there. In flexible versions lengths are varints and each
//! struct ends with tagged fields.

use kafka_protocol::messages::ApiKey;

/// Request, first flexible version, layout.
type Shape = (ApiKey, i16, &'static str);

const NEVER_FLEXIBLE: i16 = i16::MAX;

const SHAPES: &[Shape] = &[
    (ApiKey::Produce, 9, "s 2 4 [s [4 y]]"),
    (
        ApiKey::Fetch,
        12,
        "4-14:4 4 4 4 1 7+:4 7+:4 [4-12:s 13+:16 [4 9+:4 8 12+:4 5+:8 4]] 7+:[7-12:s 13+:16 (4)] 11+:s",
    ),
    (ApiKey::ListOffsets, 6, "4 2+:1 [s [4 4+:4 8]] 10+:4"),
    (ApiKey::Metadata, 9, "[10+:16 s] 4+:1 8-10:1 8+:1"),
    (ApiKey::OffsetCommit, 8, "s 4 s 7+:s 2-4:8 [s [4 8 6+:4 s]]"),
    (ApiKey::OffsetFetch, 6, "1-7:s 1-7:[s (4)] 8+:[s 9+:s 9+:4 [s (4)]] 7+:1"),
    (ApiKey::FindCoordinator, 3, "0-3:s 1+:1 4+:(s)"),
    (ApiKey::JoinGroup, 6, "s 4 1+:4 s 5+:s s [s y] 8+:s"),
    (ApiKey::Heartbeat, 4, "s 4 s 3+:s"),
    (ApiKey::LeaveGroup, 4, "s 0-2:s 3+:[s s 5+:s]"),
    (ApiKey::SyncGroup, 4, "s 4 s 3+:s 5+:s 5+:s [s y]"),
    (ApiKey::DescribeGroups, 5, "(s) 3+:1"),
    (ApiKey::ListGroups, 3, "4+:(s) 5+:(s)"),
    (ApiKey::ApiVersions, 3, "3+:s 3+:s"),
    (ApiKey::CreateTopics, 5, "[s 4 2 [4 (4)] [s s]] 4 1"),
    (ApiKey::DeleteTopics, 4, "6+:[s 16] 1-5:(s) 4"),
    (ApiKey::DeleteRecords, 2, "[s [4 8]] 4"),
    (ApiKey::InitProducerId, 2, "s 4 3+:8 3+:2"),
    (ApiKey::OffsetForLeaderEpoch, 4, "3+:4 [s [4 4 4]]"),
    (ApiKey::AddPartitionsToTxn, 3, "s 8 2 [s (4)]"),
    (ApiKey::AddOffsetsToTxn, 3, "s 8 2 s"),
    (ApiKey::EndTxn, 3, "s 8 2 1"),
    (ApiKey::TxnOffsetCommit, 3, "s s 8 2 3+:4 3+:s 3+:s [s [4 8 2+:4 s]]"),
    (ApiKey::DescribeConfigs, 4, "[1 s (s)] 1 3+:1"),
    (ApiKey::AlterConfigs, 2, "[1 s [s s]] 1"),
    (ApiKey::CreatePartitions, 2, "[s 4 [(4)]] 4 1"),
    (ApiKey::DeleteGroups, 2, "(s)"),
    (ApiKey::IncrementalAlterConfigs, 1, "[1 s [s 1 s]] 1"),
    (ApiKey::OffsetDelete, NEVER_FLEXIBLE, "s [s [4]]"),
    (ApiKey::DescribeCluster, 0, "1 1+:1"),
    (ApiKey::DescribeProducers, 0, "[s (4)]"),
    (ApiKey::DescribeTransactions, 0, "(s)"),
    (ApiKey::ListTransactions, 0, "(s) (8) 1+:8"),
];

/// Whether the body of a request can be what its key and version say.
pub fn fits(key: ApiKey, version: i16, body: &[u8]) -> bool {
    let Some((_, flexible_from, layout)) = SHAPES.iter().find(|(known, ..)| *known == key) else { return false };
    let mut walk = Walk { bytes: body, version, is_flexible: version >= *flexible_from };
    walk.fields(layout).is_some() && walk.tags().is_some()
}

struct Walk<'a> {
    bytes: &'a [u8],
    version: i16,
    is_flexible: bool,
}

impl Walk<'_> {
    fn skip(&mut self, count: usize) -> Option<()> {
        self.bytes = self.bytes.get(count..)?;
        Some(())
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (value, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*value)
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0_u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.fixed()?;
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return usize::try_from(value).ok();
            }
        }
        None
    }

    /// A length or count; null counts as 0.
    fn length(&mut self, plain_bytes: usize) -> Option<usize> {
        if self.is_flexible {
            return Some(self.varint()?.saturating_sub(1));
        }
        let length = if plain_bytes == 2 {
            i32::from(i16::from_be_bytes(self.fixed()?))
        } else {
            i32::from_be_bytes(self.fixed()?)
        };
        if length == -1 { Some(0) } else { usize::try_from(length).ok() }
    }

    fn tags(&mut self) -> Option<()> {
        if !self.is_flexible {
            return Some(());
        }
        for _ in 0..self.varint()? {
            self.varint()?;
            let bytes = self.varint()?;
            self.skip(bytes)?;
        }
        Some(())
    }

    /// Walks the fields of one struct, without its tagged fields.
    fn fields(&mut self, layout: &str) -> Option<()> {
        let mut rest = layout;
        while let Some((field, after)) = first_field(rest) {
            rest = after;
            let (versions, kind) = match field.split_once(':') {
                Some((versions, kind)) if !versions.contains(['[', '(']) => (versions, kind),
                _ => ("", field),
            };
            if is_present(versions, self.version) {
                self.field(kind)?;
            }
        }
        Some(())
    }

    fn field(&mut self, kind: &str) -> Option<()> {
        match kind {
            "s" => self.length(2).and_then(|bytes| self.skip(bytes)),
            "y" => self.length(4).and_then(|bytes| self.skip(bytes)),
            _ if kind.starts_with('[') => self.elements(&kind[1..kind.len() - 1], true),
            _ if kind.starts_with('(') => self.elements(&kind[1..kind.len() - 1], false),
            fixed => fixed.parse().ok().and_then(|bytes| self.skip(bytes)),
        }
    }

    fn elements(&mut self, layout: &str, are_structs: bool) -> Option<()> {
        let count = self.length(4)?;
        // Every element takes a byte at least.
        if count > self.bytes.len() {
            return None;
        }
        for _ in 0..count {
            self.fields(layout)?;
            if are_structs {
                self.tags()?;
            }
        }
        Some(())
    }
}

/// The first field of a layout and what follows it; brackets nest.
fn first_field(layout: &str) -> Option<(&str, &str)> {
    let layout = layout.trim_start();
    let mut depth = 0;
    for (at, letter) in layout.char_indices() {
        match letter {
            '[' | '(' => depth += 1,
            ']' | ')' => depth -= 1,
            ' ' if depth == 0 => return Some((&layout[..at], &layout[at..])),
            _ => {}
        }
    }
    (!layout.is_empty()).then_some((layout, ""))
}

fn is_present(versions: &str, version: i16) -> bool {
    let number = |text: &str| text.parse().unwrap_or(i16::MAX);
    match (versions.strip_suffix('+'), versions.split_once('-')) {
        _ if versions.is_empty() => true,
        (Some(from), _) => version >= number(from),
        (None, Some((from, to))) => (number(from)..=number(to)).contains(&version),
        (None, None) => version == number(versions),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::api::versions::SUPPORTED;
    use bytes::Bytes;
    use kafka_protocol::messages::*;
    use kafka_protocol::protocol::{Decodable, Encodable};

    fn decode(key: ApiKey, bytes: &mut Bytes, version: i16) -> Result<(), String> {
        macro_rules! by_key {
            ($($key:ident $request:ident),*) => {
                match key {
                    $(ApiKey::$key => <$request as Decodable>::decode(bytes, version).map(drop),)*
                    other => panic!("{other:?} is not decoded here"),
                }
            };
        }
        by_key!(
            Produce ProduceRequest, Fetch FetchRequest, ListOffsets ListOffsetsRequest, Metadata MetadataRequest,
            OffsetCommit OffsetCommitRequest, OffsetFetch OffsetFetchRequest, FindCoordinator FindCoordinatorRequest,
            JoinGroup JoinGroupRequest, Heartbeat HeartbeatRequest, LeaveGroup LeaveGroupRequest,
            SyncGroup SyncGroupRequest, DescribeGroups DescribeGroupsRequest, ListGroups ListGroupsRequest,
            ApiVersions ApiVersionsRequest, CreateTopics CreateTopicsRequest, DeleteTopics DeleteTopicsRequest,
            DeleteRecords DeleteRecordsRequest, InitProducerId InitProducerIdRequest,
            OffsetForLeaderEpoch OffsetForLeaderEpochRequest, AddPartitionsToTxn AddPartitionsToTxnRequest,
            AddOffsetsToTxn AddOffsetsToTxnRequest, EndTxn EndTxnRequest, TxnOffsetCommit TxnOffsetCommitRequest,
            DescribeConfigs DescribeConfigsRequest, AlterConfigs AlterConfigsRequest,
            CreatePartitions CreatePartitionsRequest, DeleteGroups DeleteGroupsRequest,
            IncrementalAlterConfigs IncrementalAlterConfigsRequest, OffsetDelete OffsetDeleteRequest,
            DescribeCluster DescribeClusterRequest, DescribeProducers DescribeProducersRequest,
            DescribeTransactions DescribeTransactionsRequest, ListTransactions ListTransactionsRequest
        )
        .map_err(|error| error.to_string())
    }

    /// A body with two elements in every array, made from the layout alone.
    fn example(layout: &str, version: i16, is_flexible: bool, out: &mut Vec<u8>) {
        let mut rest = layout;
        while let Some((field, after)) = first_field(rest) {
            rest = after;
            let (versions, kind) = match field.split_once(':') {
                Some((versions, kind)) if !versions.contains(['[', '(']) => (versions, kind),
                _ => ("", field),
            };
            if !is_present(versions, version) {
                continue;
            }
            let mut length = |length: i32, plain_bytes: usize| match (is_flexible, plain_bytes) {
                (true, _) => out.push(length as u8 + 1),
                (false, 2) => out.extend_from_slice(&(length as i16).to_be_bytes()),
                (false, _) => out.extend_from_slice(&length.to_be_bytes()),
            };
            match kind {
                "s" | "y" => {
                    length(3, if kind == "s" { 2 } else { 4 });
                    out.extend_from_slice(b"abc");
                }
                array if array.starts_with(['[', '(']) => {
                    length(2, 4);
                    for _ in 0..2 {
                        example(&array[1..array.len() - 1], version, is_flexible, out);
                        if is_flexible && array.starts_with('[') {
                            out.push(0);
                        }
                    }
                }
                fixed => out.extend(std::iter::repeat_n(1, fixed.parse().unwrap())),
            }
        }
    }

    #[test]
    fn layouts_are_those_of_the_codecs() {
        for (key, low, high) in SUPPORTED {
            let (_, flexible_from, layout) = SHAPES.iter().find(|(known, ..)| known == key).unwrap();
            for version in *low..=*high {
                let mut body = Vec::new();
                let is_flexible = version >= *flexible_from;
                example(layout, version, is_flexible, &mut body);
                if is_flexible {
                    body.push(0);
                }
                let mut bytes = Bytes::from(body.clone());
                let decoded = decode(*key, &mut bytes, version);
                assert!(decoded.is_ok(), "{key:?} {version}: {:?}", decoded.err());
                assert!(bytes.is_empty(), "{key:?} {version}: {} bytes left", bytes.len());
                assert!(fits(*key, version, &body), "{key:?} {version}");
                for cut in 0..body.len() {
                    assert!(!fits(*key, version, &body[..cut]), "{key:?} {version} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused() {
        let mut body = Vec::new();
        MetadataRequest::default().encode(&mut body, 1).unwrap();
        body[..4].copy_from_slice(&i32::MAX.to_be_bytes());
        assert!(!fits(ApiKey::Metadata, 1, &body));
    }
}
