package bench.peer;

import bench.CustomerStats;
import bench.Line;
import bench.Order;
import bench.OrderTotal;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;

/** The comparison's J1 and J2 on Kafka Streams, with its table in RocksDB; everything is in the environment. */
public final class Main {
  private static final Serde<Order> ORDER = new WireSerde<>(1, Order.getClassSchema());
  private static final Serde<OrderTotal> TOTAL = new WireSerde<>(2, OrderTotal.getClassSchema());
  private static final Serde<CustomerStats> STATS = new WireSerde<>(3, CustomerStats.getClassSchema());

  /** The row of J2's table: 16 bytes. */
  private record Spend(long count, long sumCents) {
    static final Serde<Spend> SERDE = Serdes.serdeFrom((topic, row) -> row == null ? null : row.bytes(), (topic, bytes) -> of(bytes));

    private byte[] bytes() {
      return ByteBuffer.allocate(16).putLong(count).putLong(sumCents).array();
    }

    private static Spend of(byte[] bytes) {
      if (bytes == null) return null;
      ByteBuffer row = ByteBuffer.wrap(bytes);
      return new Spend(row.getLong(), row.getLong());
    }
  }

  public static void main(String[] arguments) {
    Properties settings = settings();
    String job = Environment.text("JOB", "J1");
    KafkaStreams streams = new KafkaStreams(topology(job, settings), settings);
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
    });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(5))));
    streams.start();
  }

  private static Topology topology(String job, Properties settings) {
    StreamsBuilder builder = new StreamsBuilder();
    String input = Environment.required("IN_TOPIC"), output = Environment.required("OUT_TOPIC");
    switch (job) {
      case "J1" -> totals(builder, input, output, Environment.number("THRESHOLD", 0));
      case "J2" -> stats(builder, input, output);
      default -> throw new IllegalArgumentException("JOB is " + job + ": the jobs are J1 and J2");
    }
    return builder.build(settings);
  }

  private static void totals(StreamsBuilder builder, String input, String output, long threshold) {
    builder.stream(input, Consumed.with(Serdes.ByteArray(), ORDER))
        .filter((key, order) -> totalCents(order) >= threshold)
        .mapValues(order -> new OrderTotal(order.getOrderId(), order.getCustomerId(), totalCents(order), items(order)))
        .to(output, Produced.with(Serdes.ByteArray(), TOTAL));
  }

  private static void stats(StreamsBuilder builder, String input, String output) {
    Materialized<String, Spend, KeyValueStore<Bytes, byte[]>> table = Materialized.as("spend");
    // Without the cache every order emits its customer's update, as the job says.
    table = table.withKeySerde(Serdes.String()).withValueSerde(Spend.SERDE).withCachingDisabled();
    builder.stream(input, Consumed.with(Serdes.String(), ORDER))
        .groupByKey(Grouped.with(Serdes.String(), ORDER))
        .aggregate(
            () -> new Spend(0, 0),
            (customer, order, row) -> new Spend(row.count() + 1, row.sumCents() + totalCents(order)),
            table)
        .toStream()
        .mapValues((customer, row) -> new CustomerStats(customer, row.count(), row.sumCents()))
        .to(output, Produced.with(Serdes.String(), STATS));
  }

  private static long totalCents(Order order) {
    long total = 0;
    for (Line line : order.getLines()) total += line.getQuantity() * line.getUnitPriceCents();
    return total;
  }

  private static int items(Order order) {
    int items = 0;
    for (Line line : order.getLines()) items += line.getQuantity();
    return items;
  }

  private static Properties settings() {
    boolean exactlyOnce = Environment.text("MODE", "eos").equals("eos");
    Properties settings = new Properties();
    settings.put("application.id", Environment.required("GROUP"));
    settings.put("bootstrap.servers", Environment.required("BROKERS"));
    settings.put("state.dir", Environment.required("STATE_DIR"));
    settings.put("num.stream.threads", Environment.text("THREADS", "2"));
    settings.put("processing.guarantee", exactlyOnce ? "exactly_once_v2" : "at_least_once");
    settings.put("commit.interval.ms", Environment.text("COMMIT_MS", exactlyOnce ? "100" : "1000"));
    settings.put("replication.factor", "1");
    settings.put("topology.optimization", "all");
    settings.put("main.consumer.auto.offset.reset", "earliest");
    // Tuned for throughput: large batches both ways, and room between fetching and processing.
    settings.put("buffered.records.per.partition", "10000");
    settings.put("main.consumer.max.poll.records", "5000");
    settings.put("main.consumer.max.partition.fetch.bytes", "4194304");
    settings.put("producer.linger.ms", Environment.text("LINGER_MS", "20"));
    settings.put("producer.batch.size", "262144");
    settings.put("producer.buffer.memory", "134217728");
    settings.put("producer.compression.type", "lz4");
    long session = Environment.number("SESSION_MS", 0);
    if (session > 0) settings.put("main.consumer.session.timeout.ms", Long.toString(session));
    return settings;
  }

  private Main() {}
}
