"""One filled database, on which the documentation's commands are played: embedded, behind the
page's port, and behind a server.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import urllib3

from tests.support.clickhouse_process import serving
from tests.support.duckdb_http import httpfs
from tests.support.processes import FLOW, ROOT, Done, environment, run
from tests.support.sample import begin_of_sample


def fill(folder: Path) -> None:
    """Fill a database with the sample's beginning, by the commands of the section on recovery."""
    store = str(folder / "recovery")
    Path(store).mkdir()
    begun = run(folder, sys.executable, "-m", "bytewax.recovery", store, "1")
    assert begun.returncode == 0, begun.stderr
    feed = str(begin_of_sample(folder / "sample.tsv"))
    done = run(folder, *FLOW, "-r", store, "-s", "1", "-b", "0", CANDLEWAX_FEED=feed)
    assert done.returncode == 0, done.stderr


@contextmanager
def page(folder: Path) -> Iterator[int]:
    """Serve the page over the database; gives its port."""
    code = "import sys; from candlewax.cli.main import main; main(['serve', '--port', '0'])"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(folder),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        found = None
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                break
        assert found, "candlewax serve ended without saying where it listens"
        try:
            yield int(found.group(1))
        finally:
            process.terminate()


def shell(text: str, folder: Path, port: int) -> Done:
    """Run a line of a shell with the page's port instead of the usual one, in a folder."""
    line = re.sub(r"(localhost|127\.0\.0\.1):8000", rf"\1:{port}", text)
    line = line.replace("curl ", "curl --silent --show-error --fail-with-body ", 1)
    done = subprocess.run(
        ["sh", "-c", line], cwd=folder, capture_output=True, timeout=60, check=False
    )
    said, complained = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    return Done(done.returncode, said, complained)


def python(text: str, folder: Path, port: int) -> Done:
    """Run a program with the page's port instead of the usual one.

    DuckDB finds its reader of HTTP where it would download it to.
    """
    home = folder / "home"
    _install_httpfs(home)
    text = re.sub(r"(port=|127\.0\.0\.1:|localhost:)8000", rf"\g<1>{port}", text)
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=ROOT,
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def _install_httpfs(home: Path) -> None:
    with duckdb.connect() as connection:
        ((version, platform),) = connection.execute(
            "SELECT version(), platform FROM pragma_platform()"
        ).fetchall()
    target = home / ".duckdb" / "extensions" / version / platform
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(httpfs(), target)


def example(path: str, port: int) -> Done:
    """Run a script of the examples against the page's port."""
    done = subprocess.run(
        [sys.executable, path, str(port)],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def notebook(path: str, folder: Path, port: int) -> Done:
    """Run the cells of a notebook in order against the page's port, as a program.

    It prints for each of its two results whether it has rows.
    """
    cells = json.loads((ROOT / path).read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    code.append("print(quarters.height > 0, spread.height > 0)")
    return python("\n".join(code), folder, port)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A server over the database; gives its DSN."""
    with serving(folder / "clickhouse", "candlewax", "a secret") as front:
        yield front.dsn


def http(dsn: str, sql: str) -> Done:
    """Send a statement to a server, as curl would."""
    parts = urllib3.util.parse_url(dsn)
    user, _, password = (parts.auth or "").partition(":")
    answer = urllib3.request(
        "POST",
        f"http://{parts.host}:{parts.port}/?database=market",
        body=sql.encode(),
        headers={"X-ClickHouse-User": user, "X-ClickHouse-Key": password.replace("%20", " ")},
    )
    text = answer.data.decode("utf-8", "replace")
    return Done(0 if answer.status == 200 else answer.status, text, text)
