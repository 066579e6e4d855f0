//! Whether a broker is ready: it answers a metadata request with all brokers of the cluster.
//!
//! A port that accepts connections is not enough: a broker listens before it has joined, and a client that comes then
//! finds no leaders. The request is Kafka's Metadata, version 1, written out here so that xtask needs no Kafka client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const METADATA_KEY: i16 = 3;
const METADATA_VERSION: i16 = 1;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// An answer without topics is some hundred bytes; more means that something else listens on this port.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// How many brokers the broker at this address knows of; none where it does not answer as a broker would.
pub fn known_brokers(address: &str) -> Option<usize> {
    let address: SocketAddr = address.parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT)).ok()?;
    stream.write_all(&request()).ok()?;
    let mut size = [0; 4];
    stream.read_exact(&mut size).ok()?;
    let size = usize::try_from(i32::from_be_bytes(size)).ok().filter(|&size| size <= MAX_ANSWER_BYTES)?;
    let mut answer = vec![0; size];
    stream.read_exact(&mut answer).ok()?;
    broker_count(&answer)
}

fn request() -> Vec<u8> {
    let client = b"xtask";
    let mut body = Vec::new();
    body.extend(METADATA_KEY.to_be_bytes());
    body.extend(METADATA_VERSION.to_be_bytes());
    body.extend(0_i32.to_be_bytes()); // correlation id
    body.extend(5_i16.to_be_bytes()); // the client id's length
    body.extend(client);
    body.extend(0_i32.to_be_bytes()); // no topics: only the brokers are asked for
    let mut framed = u32::try_from(body.len()).expect("a short request").to_be_bytes().to_vec();
    framed.append(&mut body);
    framed
}

/// The length of the array of brokers, which follows the correlation id.
fn broker_count(answer: &[u8]) -> Option<usize> {
    let count = answer.get(4..8)?.try_into().ok().map(i32::from_be_bytes)?;
    usize::try_from(count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_framed_by_its_length() {
        let request = request();
        assert_eq!(request[..4], u32::try_from(request.len() - 4).expect("short").to_be_bytes());
        assert_eq!(request[4..8], [0, 3, 0, 1]);
    }

    #[test]
    fn an_answer_tells_its_brokers() {
        assert_eq!(broker_count(&[0, 0, 0, 0, 0, 0, 0, 3, 9, 9]), Some(3));
        assert_eq!(broker_count(&[0, 0, 0, 0, 255, 255, 255, 255]), None);
        assert_eq!(broker_count(&[0, 0, 0]), None);
    }

    #[test]
    fn a_closed_port_is_no_broker() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        assert_eq!(known_brokers(&port.expect("a free port").to_string()), None);
    }
}
