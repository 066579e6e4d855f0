"""Reads a recording with an Avro reader that is not ours: every file, every record, every value.

Opens each file that the manifest names with fastavro, compares counts and offsets with the manifest, and decodes each
value by the schema that is kept beside it, to its last byte. Prints one JSON object: topic -> records.

    python3 read_recording.py DIR
"""

import io
import json
import pathlib
import struct
import sys

import fastavro


def decode(schemas, value, where):
    magic, schema_id = struct.unpack(">bI", value[:5])
    if magic != 0 or schema_id not in schemas:
        sys.exit(f"{where}: no schema {schema_id} (magic byte {magic})")
    body = io.BytesIO(value[5:])
    fastavro.schemaless_reader(body, schemas[schema_id])
    if body.read(1):
        sys.exit(f"{where}: bytes are left after the datum")


def main():
    folder = pathlib.Path(sys.argv[1])
    manifest = json.loads((folder / "manifest.json").read_text())
    if not manifest["complete"]:
        sys.exit(f"{folder}: the recording is incomplete")
    schemas = {}
    for schema_id in manifest["schemas"]:
        text = (folder / "schemas" / f"{schema_id}.avsc").read_text()
        schemas[schema_id] = fastavro.parse_schema(json.loads(text))
    counts = {topic["name"]: 0 for topic in manifest["topics"]}
    for segment in manifest["segments"]:
        offsets = []
        with open(folder / segment["file"], "rb") as file:
            for record in fastavro.reader(file):
                where = f"{record['topic']}/{record['partition']}/{record['offset']}"
                if (record["topic"], record["partition"]) != (segment["topic"], segment["partition"]):
                    sys.exit(f"{segment['file']} holds {where}")
                if record["value"] is not None:
                    decode(schemas, record["value"], where)
                offsets.append(record["offset"])
        facts = (len(offsets), offsets[0], offsets[-1], offsets == sorted(set(offsets)))
        expected = (segment["records"], segment["first_offset"], segment["last_offset"], True)
        if facts != expected:
            sys.exit(f"{segment['file']}: {facts}, the manifest says {expected}")
        with open((folder / segment["file"]).with_suffix(".index.avro"), "rb") as file:
            if sum(entry["records"] for entry in fastavro.reader(file)) != len(offsets):
                sys.exit(f"{segment['file']}: the index counts otherwise")
        counts[segment["topic"]] += len(offsets)
    print(json.dumps(counts, indent=2))


if __name__ == "__main__":
    main()
