"""Command `candlewax check`: checks everything that a start needs, without starting."""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import urllib3
from clickhouse_connect.driver.exceptions import ClickHouseError

from candlewax.cli.check_markets import check_markets
from candlewax.cli.common import without_request_warnings
from candlewax.cli.findings import (
    NOTE,
    OK,
    SERVER_DISKS,
    WRONG,
    Finding,
    check_disk,
    check_space,
)
from candlewax.clickhouse.client import DatabaseError, connect, has_database, short_message
from candlewax.clickhouse.directory_lock import IN_USE
from candlewax.core.instruments import Instruments, InstrumentsError
from candlewax.core.instruments import load as load_instruments
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.client import Client, RefusalError, RetryPolicy
from candlewax.feeds.rest.gap_filler import RestEndpoint
from candlewax.kafka import topics
from candlewax.kafka.client import BrokerError, KafkaClient
from candlewax.pipeline.data_kind import live_kind, settings_for_kind
from candlewax.pipeline.sources import rest_endpoints
from candlewax.runtime import exit_reasons
from candlewax.runtime.installation import describe_instruments
from candlewax.runtime.setting_parsers import Server
from candlewax.runtime.settings import Brokers, Settings, SettingsError
from candlewax.runtime.settings import load as load_settings

_REGISTRY_TIMEOUT_S: Final = 5.0
"""Timeout in seconds of the schema registry."""

_REST_POLICY: Final = RetryPolicy(connect_s=3.0, answer_s=5.0)
"""Timeouts of the request to each exchange."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "check",
        help="check settings, instruments, database, broker and, for a live feed, the exchanges' "
        "REST and markets; starts and changes nothing",
    )
    command.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    is_wrong = False
    for finding in run_checks():
        is_wrong = is_wrong or finding.state == WRONG
        print(finding, flush=True)
    return 1 if is_wrong else 0


def run_checks() -> Iterator[Finding]:
    """Check one thing after another that a start needs, and yield a finding for each."""
    try:
        settings = load_settings()
    except SettingsError as error:
        for line in str(error).splitlines():
            yield Finding(WRONG, "settings", line)
        return
    try:
        settings = _for_live_kind(settings)
    except SettingsError as error:
        yield Finding(WRONG, "settings", str(error))
    feed = settings.feed if isinstance(settings.feed, str) else ", ".join(map(str, settings.feed))
    yield Finding(OK, "settings", f"feed {feed}, database {settings.database}")
    instruments = None
    try:
        instruments = load_instruments(settings.instruments)
    except InstrumentsError as error:
        yield Finding(WRONG, "instruments", str(error))
    if instruments:
        yield Finding(OK, "instruments", describe_instruments(settings))
        yield from _check_instruments(settings, instruments)
    yield from _check_addresses(settings)
    yield from _check_keys(settings)
    yield from _check_database(settings)
    if settings.brokers:
        expected = settings.exchanges or (instruments.exchanges if instruments else ())
        yield from _check_broker(settings.brokers, expected)
    if instruments and settings.is_live:
        exchanges = settings.exchanges or instruments.exchanges
        endpoints = rest_endpoints(settings, exchanges, real=True)
        with without_request_warnings():
            yield from _check_rest(instruments, endpoints)
            yield from check_markets(instruments, endpoints)


def _for_live_kind(settings: Settings) -> Settings:
    """Return the settings with the directory that a live feed would store in."""
    if not settings.is_live or settings.is_placed:
        return settings
    return settings_for_kind(settings, live_kind(settings.urls))


def _check_instruments(settings: Settings, instruments: Instruments) -> Iterator[Finding]:
    for exchange in settings.exchanges or instruments.exchanges:
        native_symbols = instruments.subscriptions(exchange)
        if not native_symbols:
            state = WRONG if settings.is_live and settings.exchanges else NOTE
            yield Finding(state, "instruments", f"{exchange}: nothing to subscribe to")
            continue
        yield Finding(OK, "instruments", f"{exchange}: {len(native_symbols):,} to subscribe to")
        for native_symbol in native_symbols:
            listed, by_rule = (
                instruments.resolve(exchange, native_symbol),
                instruments.resolve_by_rule(exchange, native_symbol),
            )
            if listed and by_rule and listed.symbol != by_rule.symbol:
                yield Finding(
                    NOTE,
                    "instruments",
                    f"{exchange}: {native_symbol} is listed as {listed.symbol}, by the exchange's "
                    f"rule it would be {by_rule.symbol}",
                )


def _check_addresses(settings: Settings) -> Iterator[Finding]:
    for protocol, urls in (("websocket", settings.urls), ("REST", settings.rest_urls)):
        for exchange, url in urls.items():
            # The host only, as the address may hold a password.
            yield Finding(OK, "address", f"{exchange}: {protocol} at {urlsplit(url).hostname}")
    for exchange in settings.urls.keys() - settings.rest_urls.keys():
        yield Finding(
            NOTE, "address", f"{exchange}: no trades and no markets are requested by REST, as "
            f"CANDLEWAX_{exchange.upper()}_URL is set and CANDLEWAX_{exchange.upper()}_REST_URL not"
        )  # fmt: skip


def _check_rest(
    instruments: Instruments, endpoints: Mapping[str, RestEndpoint]
) -> Iterator[Finding]:
    """Request the latest trade of a market of each exchange, as a repair would."""
    for exchange, endpoint in endpoints.items():
        native_symbols = instruments.subscriptions(exchange)
        if not native_symbols:
            continue
        client = Client(endpoint.rest, endpoint.url, endpoint.key, retry_policy=_REST_POLICY)
        try:
            client.ask(endpoint.rest.latest_path(native_symbols[0], 1))
        except RefusalError as error:
            yield Finding(WRONG, "REST", f"{exchange}: {error.reason}")
        else:
            yield Finding(OK, "REST", f"{exchange}: {client} answers with trades")
        finally:
            client.close()


def _check_keys(settings: Settings) -> Iterator[Finding]:
    for exchange in settings.keys:
        if EXCHANGES[exchange].rest.key_header is None:
            yield Finding(NOTE, "key", f"{exchange}: is set, and this exchange asks for none")
        else:
            yield Finding(OK, "key", f"{exchange}: is set")


def _check_database(settings: Settings) -> Iterator[Finding]:
    place = settings.clickhouse
    if isinstance(place, Path):
        yield from check_disk(place)
        if not has_database(place):
            folder = place.absolute()
            parent = next(part for part in (folder, *folder.parents) if part.exists())
            if not os.access(parent, os.W_OK | os.X_OK) or not parent.is_dir():
                yield Finding(WRONG, "database", f"{place}: {parent} cannot be written to")
                return
            yield Finding(NOTE, "database", f"{place}: is not there yet; the first start makes it")
            return
    try:
        with closing(connect(place, "default")) as database:
            result = database.client.query(
                "SELECT count() FROM system.databases WHERE name = {name:String}",
                parameters={"name": settings.database},
            )
            if isinstance(place, Server):
                for name, space in database.client.query(SERVER_DISKS).result_rows:
                    yield check_space(f"{place}, disk {name}", int(space))
    except DatabaseError as error:
        # Most often a running pipeline has it open.
        in_use = IN_USE in str(error)
        yield Finding(NOTE if in_use else WRONG, "database", str(error))
    except ClickHouseError as error:
        reason = exit_reasons.explain_no_answer(error) or short_message(error)
        yield Finding(WRONG, "database", f"{place}: {reason}")
    else:
        if result.result_rows[0][0]:
            yield Finding(OK, "database", f"{place}: database {settings.database} is there")
        else:
            text = f"{place}: no database {settings.database} yet; the first start makes it"
            yield Finding(NOTE, "database", text)


def _check_broker(brokers: Brokers, exchanges: tuple[str, ...]) -> Iterator[Finding]:
    try:
        present = KafkaClient(brokers).topics()
    except BrokerError as error:
        yield Finding(WRONG, "broker", str(error))
    else:
        yield Finding(OK, "broker", f"{brokers}: answers")
        counts = brokers.raw_partitions, brokers.normalized_partitions
        expected = topics.required_topics(exchanges, *counts, brokers.shards)
        missing = [topic.name for topic in expected if topic.name not in present]
        if missing:
            text = f"not there yet, the first start makes them: {', '.join(missing)}"
            yield Finding(NOTE, "topics", text)
        else:
            yield Finding(OK, "topics", f"all {len(expected)} are there")
    if brokers.schema_registry:
        yield _check_registry(brokers.schema_registry)


def _check_registry(address: str) -> Finding:
    host = urlsplit(address).hostname
    try:
        request: Callable[..., urllib3.BaseHTTPResponse] = urllib3.PoolManager(
            retries=False
        ).request
        answer = request("GET", f"{address.rstrip('/')}/subjects", timeout=_REGISTRY_TIMEOUT_S)
    except urllib3.exceptions.HTTPError as error:
        text = str(error)
        reason = next((part for part in ("refused", "timed out") if part in text), "no such host")
        return Finding(WRONG, "registry", f"{host}: does not answer: {reason}")
    if answer.status != 200:
        return Finding(WRONG, "registry", f"{host}: answers with HTTP {answer.status}")
    return Finding(OK, "registry", f"{host}: answers")
