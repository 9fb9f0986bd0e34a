"""The command `candlewax serve`: the page over tables that others write."""

import argparse
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from candlewax.cli import serve_options
from candlewax.clickhouse import engine
from candlewax.clickhouse.client import DatabaseError, connect
from candlewax.runtime import settings
from candlewax.runtime.errors import configure_logging
from candlewax.runtime.settings import SettingsError
from candlewax.runtime.shutdown import ShutdownSignal
from candlewax.web.app import build_app
from candlewax.web.cache.cache import CandleCache
from candlewax.web.queries import Store
from candlewax.web.server import ServerError
from candlewax.web.sql.endpoint import Reader
from candlewax.web.stream.poller import Poll, StoredFeedStatus
from candlewax.web.stream.subscribers import Subscribers


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "serve",
        help="show the page over what is stored in CANDLEWAX_CLICKHOUSE, a server or a "
        "directory that no other process has open",
    )
    serve_options.add(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C; gives the exit status."""
    configure_logging()
    try:
        chosen = settings.load()
        stop = ShutdownSignal()
        stop.listen()
        with ExitStack() as stack:
            store = Store(partial(connect, chosen.clickhouse, chosen.database, fail_fast=True))
            stack.callback(store.close)
            reader = None
            if isinstance(chosen.clickhouse, Path):
                reader = Reader(chosen.clickhouse, chosen.database)
                stack.callback(reader.close)
            where = serve_options.read(arguments)
            what = f"{chosen.clickhouse}, database {chosen.database}"
            seen = StoredFeedStatus()
            viewers = Subscribers(seen)
            viewers.update_days(store.days())
            recent = CandleCache()
            beside = [Poll(store, viewers, seen, recent).run]
            app = build_app(
                store, viewers, recent, reader, beside, feed_title=what, names=where.names
            )
            server = serve_options.begin(app, viewers, where, what)
            stack.callback(server.stop)
            while not stop():
                time.sleep(0.1)
    except (SettingsError, DatabaseError, ServerError) as error:
        print(f"candlewax: {error}", file=sys.stderr)
        return engine.exit_with(1)
    return engine.exit_with(0)
