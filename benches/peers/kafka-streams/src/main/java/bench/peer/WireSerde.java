package bench.peer;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import org.apache.avro.Schema;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.specific.SpecificDatumReader;
import org.apache.avro.specific.SpecificDatumWriter;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;

/**
 * Confluent's wire format for one schema: a zero, its id in four bytes, the Avro datum. What Avro reuses from call to
 * call is kept once a thread, as stream threads share the serde.
 */
final class WireSerde<T extends SpecificRecord> implements Serde<T>, Serializer<T>, Deserializer<T> {
  private static final int HEADER_BYTES = 5;

  private final int id;
  private final ThreadLocal<Tools> tools;

  WireSerde(int id, Schema schema) {
    this.id = id;
    this.tools = ThreadLocal.withInitial(() -> new Tools(schema));
  }

  private final class Tools {
    final SpecificDatumReader<T> reader;
    final SpecificDatumWriter<T> writer;
    final ByteArrayOutputStream bytes = new ByteArrayOutputStream(512);
    BinaryDecoder decoder;
    BinaryEncoder encoder;

    Tools(Schema schema) {
      reader = new SpecificDatumReader<>(schema);
      writer = new SpecificDatumWriter<>(schema);
    }
  }

  @Override
  public T deserialize(String topic, byte[] value) {
    if (value == null) return null;
    if (value.length < HEADER_BYTES || value[0] != 0 || ByteBuffer.wrap(value, 1, 4).getInt() != id) {
      throw new IllegalStateException("not a value of schema " + id);
    }
    Tools own = tools.get();
    int length = value.length - HEADER_BYTES;
    own.decoder = DecoderFactory.get().binaryDecoder(value, HEADER_BYTES, length, own.decoder);
    try {
      return own.reader.read(null, own.decoder);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public byte[] serialize(String topic, T value) {
    if (value == null) return null;
    Tools own = tools.get();
    own.bytes.reset();
    own.bytes.write(0);
    for (int shift = 24; shift >= 0; shift -= 8) own.bytes.write(id >>> shift);
    own.encoder = EncoderFactory.get().directBinaryEncoder(own.bytes, own.encoder);
    try {
      own.writer.write(value, own.encoder);
      own.encoder.flush();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return own.bytes.toByteArray();
  }

  @Override
  public Serializer<T> serializer() {
    return this;
  }

  @Override
  public Deserializer<T> deserializer() {
    return this;
  }

  @Override
  public void configure(java.util.Map<String, ?> settings, boolean isKey) {}

  @Override
  public void close() {}
}
