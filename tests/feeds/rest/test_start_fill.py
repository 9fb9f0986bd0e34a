"""First pages of a span that an exchange does not give."""

import logging
import time

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.client import Client
from candlewax.feeds.rest.start_fill import StartFill
from tests.support.rest_client import Clock, serving


def test_answer_that_is_too_large_is_told_once_and_not_asked_for_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Only the other markets are asked for: the same request would get as much again."""
    rest, clock = EXCHANGES["bitstamp"].rest, Clock()
    row = b'{"date":"1598850699","tid":"121711825","amount":"2","type":"0","price":"62.28"}'
    with serving((200, {}, b"[" + b",".join([row] * 50) + b"]"), (200, {}, b"[]")) as server:
        client = Client(rest, server.url, wait=clock.wait, now=lambda: clock.now, max_bytes=1_000)
        fill = StartFill(
            client,
            rest,
            ["btcusd", "ethusd"],
            time.time_ns() // 1000 - 3_600_000_000,
            lambda *_: pytest.fail("nothing may be stored"),
            lambda: clock.now,
        )
        with caplog.at_level(logging.WARNING):
            fill.run()
        client.close()
    assert fill.is_done
    assert [path for path, _ in server.requests] == [
        "/api/v2/transactions/btcusd/?time=day",
        "/api/v2/transactions/ethusd/?time=day",
    ]
    (told,) = [message for message in caplog.messages if "are not filled" in message]
    assert "trades of btcusd since " in told
    assert "an answer of more than 1,000 bytes" in told
    assert told.endswith("; they are not asked for again before the next start")
