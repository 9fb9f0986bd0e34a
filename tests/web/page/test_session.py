"""The state machine of the page: all short sequences of events, and random long ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, Route

from candlewax.web.app import STATIC

pytestmark = pytest.mark.slow("a browser", seconds=30)

ORIGIN: Final = "http://page.test"
FOLDERS: Final = {"static": STATIC, "tests": Path(__file__).parent}

BUSY: Final = "The server is busy: no more now"

_LOAD: Final = """async () => {
    window.machine = await import('/static/js/session.js');
    window.messages = await import('/static/js/message.js');
    window.checks = await import('/static/js/check.js');
    window.model = await import('/tests/session_play.js');
}"""


@pytest.fixture(scope="module")
def modules(browser: Browser) -> Iterator[Page]:
    """A browser page with the modules loaded, without a server."""
    page = browser.new_page()
    page.route(f"{ORIGIN}/**", _fulfill)
    page.goto(f"{ORIGIN}/")
    page.evaluate(_LOAD)
    yield page
    page.close()


def _fulfill(route: Route) -> None:
    _, _, name = route.request.url.removeprefix(ORIGIN).partition("/")
    if not name:
        route.fulfill(body="<!doctype html>", content_type="text/html")
        return
    folder, _, path = name.partition("/")
    route.fulfill(body=(FOLDERS[folder] / path).read_text(), content_type="text/javascript")


def test_session_recovers_after_every_short_sequence(modules: Page) -> None:
    """Choices, answers, failures, lost streams, resets, hangs and timers in every order."""
    result = modules.evaluate("model.playAll(machine, 3)")
    assert result["wrong"] is None
    assert result["count"] > 5000


@pytest.mark.parametrize("first", range(0, 1000, 250))
def test_session_recovers_after_long_random_sequences(modules: Page, first: int) -> None:
    """No row is drawn under another series, live follows the server, and the page recovers."""
    play = """(first) => Array.from({length: 250}, (_, place) => first + place)
        .map((seed) => model.playAtRandom(machine, seed, 150)).filter(Boolean)"""
    assert modules.evaluate(play, first) == []


def test_backoff_grows_and_is_bounded(modules: Page) -> None:
    """The wait grows from half a second to at most eight."""
    waits: list[int] = modules.evaluate(
        "Array.from({length: 100}, (_, place) => machine.backoff(place + 1))"
    )
    assert waits == sorted(waits)
    assert waits[0] == 500
    assert waits[-1] == 8000


def test_updates_waiting_for_a_read_are_bounded(modules: Page) -> None:
    """The last update of each candle is kept, and the last sixty trades."""
    early: dict[str, list[Any]] = modules.evaluate(
        """() => {
        const series = { exchange: 'okx', symbol: 'A/B', timeframe: '5m' };
        let [state] = machine.step(machine.initial(), { type: 'choose', series });
        const { id } = state.stream;
        [state] = machine.step(state, { type: 'opened', id });
        for (let number = 0; number < 500; number += 1) {
            const row = { window_start: `w${number % 2}`, number };
            for (const part of ['candles', 'trades']) {
                [state] = machine.step(state, { type: 'news', id, part, series, rows: [row] });
            }
        }
        return { candles: state.reads.candles.early, trades: state.reads.trades.early };
    }"""
    )
    assert [row["number"] for row in early["candles"]] == [498, 499]
    assert [row["number"] for row in early["trades"]] == list(range(440, 500))


@pytest.mark.parametrize(
    ("error", "word", "text"),
    [
        ({"kind": "network", "message": "Failed to fetch"}, "retrying", "server does not answer"),
        ({"kind": "timeout", "message": "no answer in time"}, "retrying", "server does not answer"),
        (
            {"status": 503, "code": "database_away", "message": "connection refused"},
            "database",
            "The database is away: connection refused",
        ),
        ({"status": 503, "message": "The server answered 503"}, "retrying", "answered 503"),
        *(
            ({"status": 503, "code": code, "message": "no more now"}, "busy", BUSY)
            for code in ("too_many", "too_many_connections", "database_busy", "any_other")
        ),
        (
            {"status": 404, "code": "unknown_market", "message": "nothing is stored of A/B"},
            "retrying",
            "nothing is stored of A/B",
        ),
    ],
)
def test_failed_read_is_shown_with_its_cause(
    modules: Page, error: dict[str, Any], word: str, text: str
) -> None:
    """For any cause the message says that the page retries."""
    message: dict[str, str] = modules.evaluate(
        """(error) => {
        const series = { exchange: 'okx', symbol: 'A/B', timeframe: '5m' };
        let [state] = machine.step(machine.initial(), { type: 'choose', series });
        [state] = machine.step(state, { type: 'opened', id: state.stream.id });
        [state] = machine.step(state, { type: 'failed', id: state.reads.candles.id, error });
        return messages.condition(state, false);
    }""",
        error,
    )
    assert message["word"] == word
    assert text in message["text"]
    assert message["text"].endswith("Retrying…")


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ((0, 0, 0), "passed"),
        ((1, 0, 0), "alarm"),
        ((0, 1, 0), "alarm"),
        ((0, 0, 1), "alarm"),
        ((2, 3, 4), "alarm"),
    ],
)
def test_cross_check_passes_only_without_a_difference(
    modules: Page, counts: tuple[int, int, int], state: str
) -> None:
    """Candles that differ, that are not stored, or that have no trades are all differences."""
    names = ("mismatches", "missing_in_gold", "missing_in_check")
    report = {"checked_at": "2026-10-05T07:08:09Z", "candles": 4321}
    report |= dict(zip(names, counts, strict=True))
    shown: dict[str, str] = modules.evaluate("(report) => checks.describe(report)", report)
    assert shown["state"] == state
    assert "2026-10-05 07:08 UTC" in shown["text"]
    assert ("4,321 candles agree" in shown["text"]) == (state == "passed")
    assert (f"{sum(counts)} of 4,321" in shown["text"]) == (state == "alarm")


def test_server_without_a_cross_check_differs_from_one_not_run_yet(modules: Page) -> None:
    """An absent field shows nothing; null shows that no check has run yet."""
    assert modules.evaluate("checks.describe(undefined)") is None
    shown: dict[str, str] = modules.evaluate("checks.describe(null)")
    assert shown["state"] == "none"
    assert "not checked yet" in shown["text"]
