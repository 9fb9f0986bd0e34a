"""The command `candlewax check`: all that a start needs, looked at without starting."""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import urllib3
from clickhouse_connect.driver.exceptions import ClickHouseError

from candlewax.clickhouse.client import IN_USE, DatabaseError, connect, short_message
from candlewax.clickhouse.disk_guard import LOW_SPACE_BYTES, format_mebibytes, free_bytes
from candlewax.core import instruments
from candlewax.core.instruments import Instruments, InstrumentsError
from candlewax.exchanges import EXCHANGES
from candlewax.kafka import topics
from candlewax.kafka.client import BrokerError, KafkaClient
from candlewax.runtime import exit_reasons, settings
from candlewax.runtime.setting_parsers import Server
from candlewax.runtime.settings import Brokers, Settings, SettingsError

OK: Final = "ok"
NOTE: Final = "note"
WRONG: Final = "wrong"

_SECONDS: Final = 5.0
"""For an answer of the schema registry."""

_SERVER_DISKS: Final = "SELECT name, free_space FROM system.disks WHERE type = 'Local' ORDER BY 1"


@dataclass(frozen=True)
class Finding:
    """One line: the thing that was looked at, and what was found."""

    state: str
    subject: str
    text: str


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "check",
        help="look at settings, instruments, database, broker and addresses; starts and "
        "changes nothing",
    )
    command.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    wrong = False
    for finding in findings():
        wrong = wrong or finding.state == WRONG
        print(f"{finding.state:<6}{finding.subject:<13}{finding.text}", flush=True)
    return 1 if wrong else 0


def findings() -> Iterator[Finding]:
    """Give a finding for each thing that a start needs, one after the other."""
    try:
        chosen = settings.load()
    except SettingsError as error:
        for line in str(error).splitlines():
            yield Finding(WRONG, "settings", line)
        return
    feed = chosen.feed if isinstance(chosen.feed, str) else ", ".join(map(str, chosen.feed))
    yield Finding(OK, "settings", f"feed {feed}, database {chosen.database}")
    known = None
    try:
        known = instruments.load(chosen.instruments)
    except InstrumentsError as error:
        yield Finding(WRONG, "instruments", str(error))
    if known:
        yield from _instruments(chosen, known)
    yield from _addresses(chosen)
    yield from _keys(chosen)
    yield from _database(chosen)
    if chosen.brokers:
        wanted = chosen.exchanges or (known.exchanges if known else ())
        yield from _broker(chosen.brokers, wanted)


def _instruments(chosen: Settings, known: Instruments) -> Iterator[Finding]:
    for exchange in chosen.exchanges or known.exchanges:
        natives = known.subscriptions(exchange)
        if not natives:
            state = WRONG if chosen.live and chosen.exchanges else NOTE
            yield Finding(state, "instruments", f"{exchange}: nothing to subscribe to")
            continue
        yield Finding(OK, "instruments", f"{exchange}: {len(natives):,} to subscribe to")
        for native in natives:
            listed, ruled = known.resolve(exchange, native), known.by_rule(exchange, native)
            if listed and ruled and listed.symbol != ruled.symbol:
                yield Finding(
                    NOTE,
                    "instruments",
                    f"{exchange}: {native} is listed as {listed.symbol}, by the exchange's rule it "
                    f"would be {ruled.symbol}",
                )


def _addresses(chosen: Settings) -> Iterator[Finding]:
    for what, urls in (("websocket", chosen.urls), ("REST", chosen.rest_urls)):
        for exchange, url in urls.items():
            # Without what may be a password in it.
            yield Finding(OK, "address", f"{exchange}: {what} at {urlsplit(url).hostname}")
    for exchange in chosen.urls.keys() - chosen.rest_urls.keys():
        yield Finding(
            NOTE, "address", f"{exchange}: no trades are asked for by REST, as "
            f"CANDLEWAX_{exchange.upper()}_URL is set and CANDLEWAX_{exchange.upper()}_REST_URL not"
        )  # fmt: skip


def _keys(chosen: Settings) -> Iterator[Finding]:
    for exchange in chosen.keys:
        if EXCHANGES[exchange].rest.key_header is None:
            yield Finding(NOTE, "key", f"{exchange}: is set, and this exchange asks for none")
        else:
            yield Finding(OK, "key", f"{exchange}: is set")


def _database(chosen: Settings) -> Iterator[Finding]:
    place = chosen.clickhouse
    if isinstance(place, Path):
        yield from _disk(place)
        if not place.exists():
            above = next(part for part in place.absolute().parents if part.exists())
            if not os.access(above, os.W_OK | os.X_OK) or not above.is_dir():
                yield Finding(WRONG, "database", f"{place}: {above} cannot be written to")
                return
            yield Finding(NOTE, "database", f"{place}: is not there yet; the first start makes it")
            return
    try:
        with closing(connect(place, "default")) as opened:
            there = opened.client.query(
                "SELECT count() FROM system.databases WHERE name = {name:String}",
                parameters={"name": chosen.database},
            )
            if isinstance(place, Server):
                for name, space in opened.client.query(_SERVER_DISKS).result_rows:
                    yield _room(f"{place}, disk {name}", int(space))
    except DatabaseError as error:
        # It is the pipeline's, most often.
        in_use = str(error).endswith(IN_USE)
        yield Finding(NOTE if in_use else WRONG, "database", str(error))
    except ClickHouseError as error:
        reason = exit_reasons.explain_no_answer(error) or short_message(error)
        yield Finding(WRONG, "database", f"{place}: {reason}")
    else:
        if there.result_rows[0][0]:
            yield Finding(OK, "database", f"{place}: database {chosen.database} is there")
        else:
            text = f"{place}: no database {chosen.database} yet; the first start makes it"
            yield Finding(NOTE, "database", text)


def _disk(folder: Path) -> Iterator[Finding]:
    try:
        yield _room(str(folder), free_bytes(folder))
    except OSError as error:
        yield Finding(WRONG, "disk", f"{folder}: {error.strerror}")


def _room(where: str, space: int) -> Finding:
    if space < LOW_SPACE_BYTES:
        needed = format_mebibytes(LOW_SPACE_BYTES)
        text = f"{where}: {format_mebibytes(space)} of room; {needed} are needed"
        return Finding(WRONG, "disk", text)
    return Finding(OK, "disk", f"{where}: {format_mebibytes(space)} of room")


def _broker(brokers: Brokers, exchanges: tuple[str, ...]) -> Iterator[Finding]:
    try:
        there = KafkaClient(brokers).topics()
    except BrokerError as error:
        yield Finding(WRONG, "broker", str(error))
    else:
        yield Finding(OK, "broker", f"{brokers}: answers")
        counts = brokers.raw_partitions, brokers.normalized_partitions
        wanted = topics.required_topics(exchanges, *counts)
        absent = [topic.name for topic in wanted if topic.name not in there]
        if absent:
            text = f"not there yet, the first start makes them: {', '.join(absent)}"
            yield Finding(NOTE, "topics", text)
        else:
            yield Finding(OK, "topics", f"all {len(wanted)} are there")
    if brokers.schema_registry:
        yield _registry(brokers.schema_registry)


def _registry(address: str) -> Finding:
    host = urlsplit(address).hostname
    try:
        ask: Callable[..., urllib3.BaseHTTPResponse] = urllib3.PoolManager(retries=False).request
        answer = ask("GET", f"{address.rstrip('/')}/subjects", timeout=_SECONDS)
    except urllib3.exceptions.HTTPError as error:
        text = str(error)
        why = next((part for part in ("refused", "timed out") if part in text), "no such host")
        return Finding(WRONG, "registry", f"{host}: does not answer: {why}")
    if answer.status != 200:
        return Finding(WRONG, "registry", f"{host}: answers with HTTP {answer.status}")
    return Finding(OK, "registry", f"{host}: answers")
