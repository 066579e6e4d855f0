"""Decodes every record of every topic with an Avro reader that is not ours.

Reads the schemas from the registry's compacted topic and each value from Confluent's wire format, committed records
only, with confluent-kafka and fastavro. Prints one JSON object: topic -> records. Fails at the first record that
cannot be decoded to its last byte.

    python3 decode_topics.py HOST:PORT
"""

import io
import json
import struct
import sys

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

SCHEMAS = "_unchain.schemas"
IDLE_DEADLINE_SECONDS = 30


def records(servers, topic, partitions):
    """Every committed record of a topic, up to the end that each partition has now."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "independent-reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    behind = set(partitions)
    while behind:
        message = consumer.poll(IDLE_DEADLINE_SECONDS)
        if message is None:
            sys.exit(f"{topic}: nothing came for {IDLE_DEADLINE_SECONDS} s")
        if message.error() is None:
            yield message
        elif message.error().code() == KafkaError._PARTITION_EOF:
            behind.discard(message.partition())
        else:
            sys.exit(f"{topic}: {message.error()}")
    consumer.close()


def decode(schemas, message):
    where = f"{message.topic()}/{message.partition()}/{message.offset()}"
    value = message.value()
    magic, schema_id = struct.unpack(">bI", value[:5])
    if magic != 0:
        sys.exit(f"{where}: magic byte {magic}, not 0")
    if schema_id not in schemas:
        sys.exit(f"{where}: schema id {schema_id} is not in {SCHEMAS}")
    body = io.BytesIO(value[5:])
    datum = fastavro.schemaless_reader(body, schemas[schema_id])
    if body.read(1):
        sys.exit(f"{where}: bytes are left after the datum")
    return datum


def main(servers):
    metadata = Consumer({"bootstrap.servers": servers, "group.id": "independent-reader"}).list_topics(timeout=10)
    topics = {name: sorted(topic.partitions) for name, topic in metadata.topics.items()}
    if SCHEMAS not in topics:
        sys.exit(f"{servers} has no topic {SCHEMAS}")
    schemas = {}
    for message in records(servers, SCHEMAS, topics[SCHEMAS]):
        entry = json.loads(message.value())
        schemas[entry["id"]] = fastavro.parse_schema(json.loads(entry["schema"]))
    counts = {}
    for topic in sorted(topics):
        if topic.startswith("_"):
            continue
        counts[topic] = 0
        for message in records(servers, topic, topics[topic]):
            if message.value() is not None:
                decode(schemas, message)
            counts[topic] += 1
    print(json.dumps(counts))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
