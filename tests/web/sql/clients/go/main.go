// Reads candles over HTTP with clickhouse-go and prints what it read as JSON: the queries of the
// tests, by each compression and both interfaces of the driver.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/shopspring/decimal"
)

const candles = `SELECT window_start, close, trade_count, symbol FROM ohlcv_1m
WHERE exchange = 'binance' ORDER BY window_start`

// One column of each kind that the native format lays out in its own way, in two blocks.
const kinds = `SELECT toUInt64(number) AS n, toLowCardinality(toString(number % 3)) AS low,
CAST(if(number % 2, NULL, number), 'Nullable(UInt32)') AS maybe,
arrayMap(x -> toString(x), range(number)) AS texts,
map(toString(number), toInt16(number)) AS pairs, (number, 'é') AS both,
toFixedString('ab', 3) AS fixed, toDecimal128(number, 12) AS amount,
[toLowCardinality('a'), toLowCardinality('b')] AS lows, repeat('x', 200) AS long
FROM (SELECT number FROM numbers(3) UNION ALL SELECT number FROM numbers(3, 2))`

type candle struct {
	Start  string `json:"window_start"`
	Close  string `json:"close"`
	Trades uint64 `json:"trade_count"`
	Symbol string `json:"symbol"`
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func options(address, compression string) *clickhouse.Options {
	methods := map[string]clickhouse.CompressionMethod{
		"none": clickhouse.CompressionNone, "lz4": clickhouse.CompressionLZ4,
		"zstd": clickhouse.CompressionZSTD, "gzip": clickhouse.CompressionGZIP,
	}
	made := &clickhouse.Options{
		Protocol:    clickhouse.HTTP,
		Addr:        []string{address},
		Auth:        clickhouse.Auth{Database: "default", Username: "default"},
		Compression: &clickhouse.Compression{Method: methods[compression], Level: 3},
	}
	if compression == "gzip" {
		made.Settings = clickhouse.Settings{"enable_http_compression": 1}
	}
	return made
}

func readCandles(address, compression string) []candle {
	opened, err := clickhouse.Open(options(address, compression))
	check(err)
	defer opened.Close()
	rows, err := opened.Query(context.Background(), candles)
	check(err)
	read := []candle{}
	for rows.Next() {
		var start time.Time
		var closing decimal.Decimal
		var one candle
		check(rows.Scan(&start, &closing, &one.Trades, &one.Symbol))
		one.Start, one.Close = start.Format(time.RFC3339), closing.String()
		read = append(read, one)
	}
	check(rows.Err())
	return read
}

func readKinds(address string) [][]any {
	opened := clickhouse.OpenDB(options(address, "lz4"))
	defer opened.Close()
	rows, err := opened.Query(kinds)
	check(err)
	read := [][]any{}
	for rows.Next() {
		var n uint64
		var low, fixed, long string
		var maybe sql.NullInt64
		var texts, lows []string
		var pairs map[string]int16
		var both []any
		var amount decimal.Decimal
		check(rows.Scan(&n, &low, &maybe, &texts, &pairs, &both, &fixed, &amount, &lows, &long))
		var number any
		if maybe.Valid {
			number = maybe.Int64
		}
		read = append(read, []any{
			n, low, number, texts, pairs, both, fixed, amount.String(), lows, len(long),
		})
	}
	check(rows.Err())
	return read
}

// As the plugin of Grafana does: by database/sql, compressed by gzip.
func readRest(address string) map[string]any {
	opened := clickhouse.OpenDB(options(address, "gzip"))
	defer opened.Close()
	var count uint64
	check(opened.QueryRow("SELECT count() FROM ohlcv_1m WHERE trade_count <= {most:UInt64}",
		clickhouse.Named("most", "3")).Scan(&count))
	var zone string
	check(opened.QueryRow("SELECT timezone()").Scan(&zone))
	none, err := opened.Query("SELECT 1 WHERE 0")
	check(err)
	empty := !none.Next()
	check(none.Err())
	var failure *clickhouse.Exception
	_, err = opened.Query("SELECT nothing FROM ohlcv_1m")
	if !errors.As(err, &failure) {
		check(fmt.Errorf("not an error of ClickHouse: %w", err))
	}
	_, writing := opened.Exec("INSERT INTO watermarks (exchange) VALUES ('x')")
	return map[string]any{
		"count": count, "zone": zone, "empty": empty, "code": failure.Code,
		"writing": fmt.Sprint(writing),
	}
}

func main() {
	address := os.Args[1]
	read := map[string]any{"kinds": readKinds(address), "rest": readRest(address)}
	for _, compression := range []string{"none", "lz4", "zstd", "gzip"} {
		read[compression] = readCandles(address, compression)
	}
	check(json.NewEncoder(os.Stdout).Encode(read))
}
