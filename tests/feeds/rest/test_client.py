"""REST client: requests, responses and errors."""

import logging
import socket

import pytest

from candlewax.feeds.rest.client import MAX_BYTES
from candlewax.feeds.rest.worker import WorkerStopped
from tests.support.rest_client import (
    OK_RESPONSE,
    ROW,
    Clock,
    Response,
    make_client,
    request_refused,
    serving,
)


def test_response_is_returned_verbatim_with_its_page() -> None:
    """The request has the path and query as given."""
    with serving(OK_RESPONSE) as server:
        response = make_client(server, Clock()).ask("/api/v3/historicalTrades?symbol=A%2FB")
    assert response.text == f"[{ROW}]"
    assert response.page.numbers == [7]
    assert [path for path, _ in server.requests] == ["/api/v3/historicalTrades?symbol=A%2FB"]
    assert server.requests[0][1]["User-Agent"] == "candlewax"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ((200, {}, b"<html>maintenance</html>"), "the answer is no JSON"),
        ((200, {}, b"\xff\xfe"), "the answer is no JSON"),
        ((200, {}, b'{"trades":[]}'), "an answer that is none"),
        ((200, {}, b""), "the answer is no JSON"),
        ((200, {"Content-Length": "9000"}, b"[]"), "no answer from"),
        ((200, {}, b"[" + b" " * MAX_BYTES + b"]"), "an answer of more than"),
        ((302, {"Location": "/elsewhere"}, b""), "status 302"),
        ((400, {}, b'{"code":-1100,"msg":"Illegal characters"}'), "Illegal characters"),
    ],
)
def test_invalid_response_is_refused_but_not_permanently(response: Response, reason: str) -> None:
    """Garbage, truncated or oversized bodies, redirects and errors."""
    with serving(response) as server:
        refusal = request_refused(make_client(server, Clock()))
    assert reason in refusal.reason
    assert not refusal.is_permanent
    assert len(server.requests) == 1


def test_unknown_market_is_refused_permanently_without_a_pause() -> None:
    clock = Clock()
    with serving((400, {}, b'{"code":-1121,"msg":"Invalid symbol."}'), OK_RESPONSE) as server:
        rest_client = make_client(server, clock)
        assert request_refused(rest_client).is_permanent
        rest_client.ask("/x")
    assert clock.waits == []


def test_unreachable_server_is_refused_like_any_failure() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = type("Gone", (), {"url": f"http://127.0.0.1:{unused.getsockname()[1]}"})
        refusal = request_refused(make_client(server, Clock()))  # type: ignore[arg-type]
    assert "no answer from" in refusal.reason


def test_api_key_is_sent_only_where_used_and_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Also if the exchange refuses the request."""
    with caplog.at_level(logging.DEBUG), serving((500, {}, b"")) as server:
        rest_client = make_client(server, Clock(), key="secret-key")
        refusal = request_refused(rest_client)
        request_refused(make_client(server, Clock(), "kraken", key="secret-key"))
    assert server.requests[0][1]["X-MBX-APIKEY"] == "secret-key"
    assert "secret-key" not in str(server.requests[1])
    assert "secret-key" not in f"{caplog.text} {refusal} {rest_client}"


def test_stopped_client_sends_no_further_request() -> None:
    with serving((500, {}, b"")) as server:
        clock = Clock()
        clock.going = False
        rest_client = make_client(server, clock)
        request_refused(rest_client)
        with pytest.raises(WorkerStopped):
            rest_client.ask("/x")
    assert len(server.requests) == 1
