package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hamba/avro/v2"
)

// The bytes before an Avro datum in Confluent's wire format: a zero and the schema's id.
const headerBytes = 5

const (
	orderID = 1
	totalID = 2
	statsID = 3
)

type line struct {
	SKU            string `avro:"sku"`
	Quantity       int32  `avro:"quantity"`
	UnitPriceCents int64  `avro:"unit_price_cents"`
}

type order struct {
	OrderID    string `avro:"order_id"`
	CustomerID string `avro:"customer_id"`
	CreatedAt  int64  `avro:"created_at"`
	Currency   string `avro:"currency"`
	Lines      []line `avro:"lines"`
}

type orderTotal struct {
	OrderID    string `avro:"order_id"`
	CustomerID string `avro:"customer_id"`
	TotalCents int64  `avro:"total_cents"`
	ItemCount  int32  `avro:"item_count"`
}

type customerStats struct {
	CustomerID string `avro:"customer_id"`
	Count      int64  `avro:"count"`
	SumCents   int64  `avro:"sum_cents"`
}

func (o *order) sums() (cents int64, items int32) {
	for i := range o.Lines {
		cents += int64(o.Lines[i].Quantity) * o.Lines[i].UnitPriceCents
		items += o.Lines[i].Quantity
	}
	return
}

// codec reads orders and writes what the jobs emit.
type codec struct {
	api                 avro.API
	order, total, stats avro.Schema
}

// newCodec reads the benchmarks' schemas from their folder.
func newCodec(folder string) (*codec, error) {
	parse := func(name string) (avro.Schema, error) {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		return avro.Parse(string(text))
	}
	c := &codec{api: avro.DefaultConfig}
	for name, schema := range map[string]*avro.Schema{
		"order.avsc": &c.order, "order_total.avsc": &c.total, "customer_stats.avsc": &c.stats,
	} {
		parsed, err := parse(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		*schema = parsed
	}
	return c, nil
}

// decode fills an order that the caller reuses.
func (c *codec) decode(value []byte, into *order) error {
	if len(value) < headerBytes || value[0] != 0 || binary.BigEndian.Uint32(value[1:]) != orderID {
		return fmt.Errorf("not a value of schema %d", orderID)
	}
	into.Lines = into.Lines[:0]
	return c.api.Unmarshal(c.order, value[headerBytes:], into)
}

func (c *codec) encode(id uint32, schema avro.Schema, value any) ([]byte, error) {
	datum, err := c.api.Marshal(schema, value)
	if err != nil {
		return nil, err
	}
	out := make([]byte, headerBytes, headerBytes+len(datum))
	binary.BigEndian.PutUint32(out[1:], id)
	return append(out, datum...), nil
}
