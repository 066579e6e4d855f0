//! What a hostile or broken peer sends closes its own connection and disturbs nobody else; limits answer as limits.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{PATIENCE, client, create_topic, produce, read_all};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, config::FromClientConfigAndContext};
use unchain_broker::{Broker, BrokerConfig};

/// The broker must close the connection; what it says before does not matter.
fn is_closed_after(servers: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(servers).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A close while we still write is as good as one after.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "still open after {bytes:?}"),
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

#[test]
fn garbage_closes_its_own_connection_only() {
    let broker = Broker::start(BrokerConfig::default()).unwrap();
    let servers = broker.bootstrap_servers();
    create_topic(&servers, "t", 1, &[]);
    let producer: BaseProducer = client(&servers).create().unwrap();
    produce(&producer, "t", &["before"]);

    is_closed_after(&servers, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    is_closed_after(&servers, &[0xff; 64]);
    is_closed_after(&servers, &i32::MAX.to_be_bytes());
    is_closed_after(&servers, &framed(&[]));
    is_closed_after(&servers, &framed(&[0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff]));
    is_closed_after(&servers, &framed(&[0, 3, 0x7f, 0xff, 0, 0, 0, 1, 0xff, 0xff]));
    // Metadata version 1 that promises two thousand million topics.
    is_closed_after(&servers, &framed(&[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]));
    // A header that ends inside the client id.
    is_closed_after(&servers, &framed(&[0, 3, 0, 1, 0, 0, 0, 1, 0x10, 0, b'x']));
    // Every request, with a body of nothing but ones.
    for key in 0..80_u8 {
        is_closed_after(
            &servers,
            &[framed(&[&[0, key, 0, 2, 0, 0, 0, 1, 0xff, 0xff], &[0xff; 90][..]].concat()), vec![0xff; 8]].concat(),
        );
    }

    produce(&producer, "t", &["after"]);
    assert_eq!(read_all(&servers, "t", "read_uncommitted"), ["before", "after"]);
}

/// Keeps the outcome of the last delivery.
#[derive(Default)]
struct LastOutcome(std::sync::Mutex<Option<KafkaError>>);

impl ClientContext for LastOutcome {}

impl ProducerContext for LastOutcome {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        *self.0.lock().unwrap() = result.as_ref().err().map(|(error, _)| error.clone());
    }
}

#[test]
fn full_memory_is_told_at_once_and_for_good() {
    let broker = Broker::start(BrokerConfig { max_memory_bytes: 10_000, ..BrokerConfig::default() }).unwrap();
    let servers = broker.bootstrap_servers();
    create_topic(&servers, "t", 1, &[]);
    let producer: ThreadedProducer<LastOutcome> =
        ThreadedProducer::from_config_and_context(&client(&servers), LastOutcome::default()).unwrap();
    let outcome = |bytes: usize| {
        producer.send(BaseRecord::<str, [u8]>::to("t").partition(0).payload(&vec![0; bytes])).unwrap();
        producer.flush(PATIENCE).unwrap();
        producer.context().0.lock().unwrap().take()
    };
    assert_eq!(outcome(5_000), None);
    assert_eq!(outcome(6_000), Some(KafkaError::MessageProduction(RDKafkaErrorCode::PolicyViolation)));
    assert_eq!(outcome(1_000), None, "what fits is taken still");
}
