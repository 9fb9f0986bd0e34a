"""Command `candlewax serve`: serves the page for tables that other processes write."""

import argparse
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from candlewax.cli import serve_options
from candlewax.clickhouse import engine
from candlewax.clickhouse.client import DatabaseError, connect
from candlewax.runtime.cold_settings import reach_archive
from candlewax.runtime.errors import configure_logging
from candlewax.runtime.settings import SettingsError
from candlewax.runtime.settings import load as load_settings
from candlewax.runtime.shutdown import ShutdownSignal
from candlewax.web.app import build_app
from candlewax.web.cache.cache import CandleCache
from candlewax.web.queries import Store
from candlewax.web.server import ServerError
from candlewax.web.sql.endpoint import Reader
from candlewax.web.stream.poller import Poll, StoredFeedStatus
from candlewax.web.stream.subscribers import Subscribers


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "serve",
        help="serve the page for the tables in CANDLEWAX_CLICKHOUSE, a server or a "
        "directory that no other process has open",
    )
    serve_options.add(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C. Return the exit status."""
    configure_logging()
    try:
        settings = load_settings()
        configure_logging(settings.log)
        if settings.cold:
            reach_archive(settings.cold)
        shutdown = ShutdownSignal()
        shutdown.listen()
        with ExitStack() as stack:
            store = Store(partial(connect, settings.clickhouse, settings.database, fail_fast=True))
            stack.callback(store.close)
            reader = None
            if isinstance(settings.clickhouse, Path):
                reader = Reader(settings.clickhouse, settings.database)
                stack.callback(reader.close)
            address = serve_options.read(arguments)
            title = f"{settings.clickhouse}, database {settings.database}"
            feed_status = StoredFeedStatus()
            subscribers = Subscribers(feed_status)
            subscribers.update_days(store.days())
            cache = CandleCache()
            background_tasks = [Poll(store, subscribers, feed_status, cache).run]
            app = build_app(
                store,
                subscribers,
                cache,
                reader,
                background_tasks,
                feed_title=title,
                names=address.names,
                prefix=address.prefix,
            )
            server = serve_options.begin(app, subscribers, address, title)
            stack.callback(server.stop)
            place = settings.clickhouse
            stack.enter_context(serve_options.announce(place, "serve", address, server.port))
            while not shutdown():
                time.sleep(0.1)
    except (SettingsError, DatabaseError, ServerError) as error:
        print(f"candlewax: {error}", file=sys.stderr)
        return engine.exit_with(1)
    return engine.exit_with(0)
