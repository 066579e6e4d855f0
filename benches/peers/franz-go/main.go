// The comparison's J1 and J2 on franz-go; everything is in the environment. J2 keeps its table in a map, which no restart
// would fill again, and writes a changelog as Kafka Streams would.
package main

import (
	"context"
	"encoding/binary"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	pollRecords   = 10_000
	eosInterval   = 100 * time.Millisecond
	alosInterval  = time.Second
	fetchBytes    = 1 << 20
	batchBytes    = 256 << 10
	bufferRecords = 200_000
	// As Kafka Streams has it: so long readers wait for what a killed process left open.
	transactionTimeout = 10 * time.Second
)

func text(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func number(name string, otherwise int64) int64 {
	value, err := strconv.ParseInt(text(name, strconv.FormatInt(otherwise, 10)), 10, 64)
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	return value
}

// job turns an order into the records that it leads to.
type job struct {
	codec     *codec
	output    string
	changelog string
	threshold int64
	stateful  bool
	order     order
	table     map[string]*[2]int64
	produce   func(context.Context, *kgo.Record, func(*kgo.Record, error))
}

func (j *job) handle(r *kgo.Record) {
	if err := j.codec.decode(r.Value, &j.order); err != nil {
		log.Fatal(err)
	}
	cents, items := j.order.sums()
	if j.stateful {
		j.update(r, cents)
	} else if cents >= j.threshold {
		total := orderTotal{OrderID: j.order.OrderID, CustomerID: j.order.CustomerID, TotalCents: cents, ItemCount: items}
		value, err := j.codec.encode(totalID, j.codec.total, &total)
		j.send(j.output, r.Key, value, err)
	}
}

func (j *job) update(r *kgo.Record, cents int64) {
	row := j.table[string(r.Key)]
	if row == nil {
		row = new([2]int64)
		j.table[string(r.Key)] = row
	}
	row[0]++
	row[1] += cents
	if j.changelog != "" {
		changed := binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(row[0]))
		j.send(j.changelog, r.Key, binary.BigEndian.AppendUint64(changed, uint64(row[1])), nil)
	}
	stats := customerStats{CustomerID: j.order.CustomerID, Count: row[0], SumCents: row[1]}
	value, err := j.codec.encode(statsID, j.codec.stats, &stats)
	j.send(j.output, r.Key, value, err)
}

func (j *job) send(topic string, key, value []byte, err error) {
	if err != nil {
		log.Fatal(err)
	}
	j.produce(context.Background(), &kgo.Record{Topic: topic, Key: key, Value: value}, func(_ *kgo.Record, err error) {
		if err != nil {
			log.Fatal(err)
		}
	})
}

func options(group string) []kgo.Opt {
	linger := time.Duration(number("LINGER_MS", 20)) * time.Millisecond
	opts := []kgo.Opt{
		kgo.SeedBrokers(text("BROKERS", "")), kgo.ConsumerGroup(group), kgo.ConsumeTopics(text("IN_TOPIC", "")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.DisableAutoCommit(),
		kgo.FetchMaxPartitionBytes(fetchBytes), kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(linger),
		kgo.ProducerBatchMaxBytes(batchBytes), kgo.MaxBufferedRecords(bufferRecords),
	}
	if session := number("SESSION_MS", 0); session > 0 {
		opts = append(opts, kgo.SessionTimeout(time.Duration(session)*time.Millisecond))
	}
	return opts
}

// exactlyOnce commits outputs and offsets in one transaction for each interval.
func exactlyOnce(j *job, opts []kgo.Opt, group string) {
	ctx := context.Background()
	interval := time.Duration(number("COMMIT_MS", eosInterval.Milliseconds())) * time.Millisecond
	instance := text("INSTANCE", strconv.Itoa(os.Getpid()))
	opts = append(opts, kgo.TransactionalID(group+"-"+instance), kgo.TransactionTimeout(transactionTimeout), kgo.RequireStableFetchOffsets())
	session, err := kgo.NewGroupTransactSession(opts...)
	if err != nil {
		log.Fatal(err)
	}
	j.produce = session.Produce
	for {
		fetches := session.PollRecords(ctx, pollRecords)
		if err := session.Begin(); err != nil {
			log.Fatal(err)
		}
		deadline := time.Now().Add(interval)
		for {
			fetches.EachRecord(j.handle)
			if !time.Now().Before(deadline) {
				break
			}
			bounded, cancel := context.WithDeadline(ctx, deadline)
			fetches = session.PollRecords(bounded, pollRecords)
			cancel()
		}
		// Not committed means a rebalance came between: the session has rewound, and the records come again.
		if _, err := session.End(ctx, kgo.TryCommit); err != nil {
			log.Fatal("end of a transaction: ", err)
		}
	}
}

// atLeastOnce commits the offsets of what has been acknowledged, once an interval.
func atLeastOnce(j *job, opts []kgo.Opt) {
	ctx := context.Background()
	client, err := kgo.NewClient(opts...)
	if err != nil {
		log.Fatal(err)
	}
	j.produce = client.Produce
	for {
		deadline := time.Now().Add(alosInterval)
		for time.Now().Before(deadline) {
			bounded, cancel := context.WithDeadline(ctx, deadline)
			fetches := client.PollRecords(bounded, pollRecords)
			cancel()
			fetches.EachRecord(j.handle)
		}
		if err := client.Flush(ctx); err != nil {
			log.Fatal(err)
		}
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			log.Fatal(err)
		}
	}
}

func main() {
	codec, err := newCodec(text("SCHEMAS", "benches/schemas"))
	if err != nil {
		log.Fatal(err)
	}
	name := text("JOB", "J1")
	if name != "J1" && name != "J2" {
		log.Fatalf("JOB is %s: the jobs are J1 and J2", name)
	}
	group := text("GROUP", "")
	j := &job{
		codec: codec, output: text("OUT_TOPIC", ""), changelog: text("CLOG_TOPIC", ""),
		threshold: number("THRESHOLD", 0), stateful: name == "J2", table: map[string]*[2]int64{},
	}
	if text("MODE", "eos") == "eos" {
		exactlyOnce(j, options(group), group)
	}
	atLeastOnce(j, options(group))
}
