"""The OpenAPI document: each example in it is asked, and each answer is as it says."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from candlewax.clickhouse.bar_table import BarTable
from candlewax.clickhouse.client import Database
from candlewax.core.bars.rules import parse_rules
from candlewax.web.api.openapi import document
from tests.support.traded_market import traded_tables
from tests.support.web_server import BEGIN, Client

DOCUMENT = document("/api/v1")
OPERATIONS = {path: item["get"] for path, item in DOCUMENT["paths"].items()}
ANSWERED = sorted(path for path in OPERATIONS if path != "/" and not path.endswith("/stream"))
"""Addresses that answer with JSON and end."""

KINDS: Mapping[str, Any] = {
    "string": str, "integer": int, "boolean": bool, "object": dict, "array": list,
    "null": type(None),
}  # fmt: skip


@pytest.fixture(scope="module")
def shared_tables(engine: Database, engine_path: Path) -> Iterator[Database]:
    """Tables with rows for every address."""
    with traded_tables(engine, engine_path, "of_openapi") as tables:
        seconds = int(BEGIN.timestamp())
        tables.client.command(
            "INSERT INTO gaps (exchange, symbol, first_sequence, last_sequence, missing, before, "
            "after, connection, detected_at, state, attempts) VALUES ('binance', 'BTC/USDT', 1, "
            f"2, 2, {seconds}, {seconds + 1}, 'b', {seconds}, 'open', 0)"
        )
        rules = parse_rules(["tick 1000", "volume 1000", "dollar 1000"])
        BarTable(tables).refresh("binance", "BTC/USDT", rules)
        yield tables


def assert_fits(value: Any, schema: Mapping[str, Any], place: str) -> None:
    """Assert that a value is as a schema says, and has no field that it does not name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        assert_fits(value, DOCUMENT["components"]["schemas"][name], f"{place} {name}")
        return
    if "oneOf" in schema:
        fitting = [one for one in schema["oneOf"] if isinstance(value, KINDS[one["type"]])]
        assert len(fitting) == 1, (place, value)
        assert_fits(value, fitting[0], place)
        return
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    assert any(isinstance(value, KINDS[kind]) for kind in kinds), (place, value)
    assert value in schema.get("enum", [value]), (place, value)
    if "properties" in schema:
        assert set(value) <= set(schema["properties"]), (place, value)
        assert set(value) >= set(schema["required"]), (place, value)
        for name, one in value.items():
            assert_fits(one, schema["properties"][name], f"{place}.{name}")
    for number, one in enumerate(value if "array" in kinds else ()):
        items = schema.get("items") or schema.get("prefixItems", [{"type": list(KINDS)}])[number]
        assert_fits(one, items, f"{place}[{number}]")


def values(parameter: Mapping[str, Any]) -> list[str]:
    """All values that the document shows of a parameter."""
    schema = parameter["schema"]
    shown = schema.get("examples") or schema.get("enum") or []
    shown = shown or [[one] for one in schema.get("items", {}).get("enum", [])]
    shown = shown or ([schema["default"]] if "default" in schema else [])
    if schema["type"] == "boolean":
        shown = ["true", "false"]
    return [",".join(one) if isinstance(one, list) else str(one) for one in shown]


def test_operations_have_ids_of_their_own_and_the_server_is_named() -> None:
    ids = [one["operationId"] for one in OPERATIONS.values()]
    assert len(set(ids)) == len(ids)
    assert all(name.isalnum() for name in ids)
    assert DOCUMENT["openapi"].startswith("3.1")
    assert [one["url"] for one in DOCUMENT["servers"]] == ["/"]
    tags = {one["name"] for one in DOCUMENT["tags"]}
    assert {tag for one in OPERATIONS.values() for tag in one["tags"]} == tags


@pytest.mark.parametrize("path", ANSWERED)
def test_examples_are_answered_as_the_document_says(client: Client, path: str) -> None:
    """Each value that it shows of each parameter, one parameter at a time."""
    operation = OPERATIONS[path]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    taken = operation["parameters"]
    required = {one["name"]: values(one)[0] for one in taken if one["required"]}
    variants = [(one["name"], value) for one in taken for value in values(one)]
    assert all(values(one) for one in taken if one["schema"].get("description") != "ignored")
    for name, value in [("", ""), *variants]:
        asked = {**required, **({name: value} if name else {})}
        address = path
        for part in [one["name"] for one in taken if one["in"] == "path"]:
            address = address.replace(f"{{{part}}}", asked.pop(part))
        if name == "exchange" and value != "binance":
            asked["symbol"] = "BTC/USD"
            if value != "kraken":
                continue
        if name == "symbols":
            asked.pop("symbol", None)
        if name == "timeframe" or "openapi" in value:
            continue
        answer = client.ask(address, asked)
        assert answer.status == 200, (address, asked, answer.body)
        if name != "format" or value == "json":
            assert_fits(answer.json, schema, f"{address} {asked}")
    refused = client.ask(address, {"colour": "red"})
    error = operation["responses"]["4XX"]["content"]["application/json"]["schema"]
    assert refused.status == 400
    assert_fits(refused.json, error, path)


def test_rows_are_there_for_the_schemas(client: Client) -> None:
    """Or the test above would check nothing."""
    market = {"exchange": "binance", "symbol": "BTC/USDT"}
    for path in ("ohlcv/1m", "trades"):
        assert client.ask(f"/api/v1/{path}", market).rows
    assert client.ask("/api/v1/bars", {**market, "kind": "dollar", "threshold": "1000"}).rows
    for path in ("gaps", "tickers", "symbols", "exchanges"):
        assert client.ask(f"/api/v1/{path}").rows
