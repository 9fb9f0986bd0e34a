"""The page, API, SQL and streams behind nginx with the configuration in deploy/: TLS, password,
path.
"""

import http.client
import socket
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import ConsoleMessage, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as open_websocket
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websockets

from candlewax.clickhouse.client import Database
from tests.deploy.reading import ROOT
from tests.deploy.test_alerts import need
from tests.support.browser import launched
from tests.support.kafka.reading import until
from tests.support.ports import free_port
from tests.support.web_server import MARKET, filled_tables, serving

pytestmark = pytest.mark.slow("nginx and a browser", seconds=10)

PREFIX, NAME = "/candlewax", "candles.example.org"
USER, PASSWORD = "someone", "a: password"
PASSWORDS = {"Authorization": f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"}

MAIN = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/candlewax.conf;
}}
"""


class Named(http.client.HTTPSConnection):
    """A connection to this machine under the name in the certificate, which it checks."""

    def __init__(self, port: int, trust: ssl.SSLContext) -> None:
        super().__init__(NAME, port, timeout=60, context=trust)
        self._trust = trust

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), 60)
        self.sock = self._trust.wrap_socket(plain, server_hostname=NAME)


@dataclass
class Proxy:
    """A running nginx, with its ports for HTTP and HTTPS and a context that trusts it."""

    plain_port: int
    port: int
    trust: ssl.SSLContext

    def read(self, path: str, headers: Mapping[str, str] = PASSWORDS) -> tuple[int, str]:
        """Return status and body of an answer."""
        with closing(Named(self.port, self.trust)) as connection:
            connection.request("GET", path, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()


@contextmanager
def proxy_before(port: int, folder: Path) -> Iterator[Proxy]:
    """Run nginx with the configuration, in which only ports and paths are changed."""
    program = need("nginx", "nginx-light")
    ports = {"80": free_port(), "443": free_port()}
    text = (ROOT / "deploy/nginx/candlewax.conf").read_text("utf-8")
    for old, new in {
        "listen 80;": f"listen 127.0.0.1:{ports['80']};",
        "listen 443 ": f"listen 127.0.0.1:{ports['443']} ",
        "127.0.0.1:8000": f"127.0.0.1:{port}",
        "/etc/nginx/": f"{folder}/",
    }.items():
        assert old in text
        text = text.replace(old, new)
    folder.mkdir()
    (folder / "candlewax.conf").write_text(text, "utf-8")
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder), "utf-8")
    openssl = need("openssl", "openssl")
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
         "-keyout", folder / "candlewax.key", "-out", folder / "candlewax.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    hashed = subprocess.run(
        [openssl, "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True
    ).stdout
    (folder / "candlewax.htpasswd").write_text(f"{USER}:{hashed}", "utf-8")
    process = subprocess.Popen([program, "-e", folder / "start.log", "-c", folder / "nginx.conf"])
    try:
        until(lambda: is_open(ports["443"]))
        trust = ssl.create_default_context(cafile=str(folder / "candlewax.pem"))
        yield Proxy(ports["80"], ports["443"], trust)
    finally:
        process.terminate()
        process.wait()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def proxy(
    engine: Database, engine_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy") / "nginx"
    with ExitStack() as stack:
        tables = stack.enter_context(filled_tables(engine, engine_path, "of_nginx", 5, 3))
        served = stack.enter_context(serving(tables, engine_path, prefix=PREFIX, names=[NAME]))
        yield stack.enter_context(proxy_before(served.client.port, folder))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", "<title>Candlewax</title>"),
        ("/static/js/app.js", "import"),
        ("/api/v1/symbols", "BTC/USDT"),
        ("/openapi.json", f'"url":"{PREFIX}"'),
        ("/?query=SELECT+count()+FROM+ohlcv_1m", "5"),
        (f"/?query=SELECT+length('{'x' * 20_000}')", "20000"),
    ],
)
def test_page_api_and_sql_are_answered_with_the_password_only(
    proxy: Proxy, path: str, text: str
) -> None:
    """Our server sees no password: SQL runs as its default user."""
    status, body = proxy.read(PREFIX + path)
    assert status == 200
    assert text in body
    wrong = {"Authorization": f"Basic {b64encode(f'{USER}:other'.encode()).decode()}"}
    for headers in ({}, wrong):
        status, body = proxy.read(PREFIX + path, headers)
        assert status == 401
        assert text not in body


def test_plain_http_leads_to_https(proxy: Proxy) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", proxy.plain_port)) as connection:
        connection.request("GET", f"{PREFIX}/?a=b", headers={"Host": NAME})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Location"]) == (301, f"https://{NAME}{PREFIX}/?a=b")


def test_page_of_another_site_is_refused(proxy: Proxy) -> None:
    """Its origin is compared with the name that the browser asked for, port included."""
    own = {**PASSWORDS, "Origin": f"https://{NAME}:{proxy.port}"}
    assert proxy.read(f"{PREFIX}/api/v1", own)[0] == 200
    assert proxy.read(f"{PREFIX}/api/v1", {**PASSWORDS, "Origin": "https://evil.example"})[0] == 403


def test_events_of_a_stream_come_at_once(proxy: Proxy) -> None:
    """The stream goes on meanwhile: nothing waits for its end."""
    with closing(Named(proxy.port, proxy.trust)) as connection:
        path = f"{PREFIX}/api/v1/stream?{urlencode(MARKET)}"
        connection.request("GET", path, headers=PASSWORDS)
        answer = connection.getresponse()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.readline()


def test_websocket_is_passed_on_with_the_password_only(tmp_path: Path) -> None:
    """To a server that answers each message with the path that it was asked for."""

    def echo(connection: ServerConnection) -> None:
        for message in connection:
            assert connection.request
            connection.send(f"{connection.request.path} {message!s}")

    with serve_websockets(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        with proxy_before(port, tmp_path / "nginx") as before:
            address = f"wss://{NAME}:{before.port}{PREFIX}/api/v1/socket"
            options: dict[str, Any] = {"ssl": before.trust, "proxy": None}
            options["sock"] = socket.create_connection(("127.0.0.1", before.port))
            with open_websocket(address, additional_headers=PASSWORDS, **options) as client:
                client.send("hello")
                assert client.recv() == f"{PREFIX}/api/v1/socket hello"
            options["sock"] = socket.create_connection(("127.0.0.1", before.port))
            with pytest.raises(InvalidStatus), open_websocket(address, **options):
                pass
        server.shutdown()
        thread.join()


def describe_message(message: ConsoleMessage) -> str:
    return f"{message.location['url']}: {message.text}"


def test_page_and_documentation_work_in_a_browser(proxy: Proxy) -> None:
    """Every address that they ask for is below the path; nothing fails."""
    own, urls, errors = f"https://127.0.0.1:{proxy.port}{PREFIX}", list[str](), list[str]()
    with launched() as browser:
        context = browser.new_context(
            ignore_https_errors=True, http_credentials={"username": USER, "password": PASSWORD}
        )
        page = context.new_page()
        page.on("request", lambda request: urls.append(request.url))
        page.on("websocket", lambda socket: urls.append(socket.url.replace("wss:", "https:")))
        page.on(
            "console",
            lambda said: errors.append(describe_message(said)) if said.type == "error" else None,
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{own}#binance/BTC/USDT/1m")
        expect(page.locator("#legend")).to_contain_text("C", timeout=20_000)
        expect(page.locator("#price")).to_contain_text("104.25")
        page.get_by_role("link", name="API", exact=True).click()
        expect(page.locator("#getCandles pre a")).to_be_visible(timeout=20_000)
        page.locator("#getCandles pre a").click()
        expect(page.locator("body")).to_contain_text("window_start")
    assert any("/stream" in url for url in urls)
    assert [url for url in urls if not url.startswith((own, "data:"))] == []
    # Before it is asked for the password a browser sends none; for JSON it looks for an icon.
    assert [text for text in errors if "401" not in text and "/favicon.ico" not in text] == []
