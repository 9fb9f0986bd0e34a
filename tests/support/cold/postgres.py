"""A real Postgres for tests, from Debian's package: a catalog of the cold tier."""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.support.cold.process import ServerProcess
from tests.support.jars import MissingProgramError
from tests.support.ports import free_port

_USER: Final = "candlewax"
_PASSWORD: Final = "p@ss/w:rd"  # noqa: S105 - of a server that only tests reach
"""With characters that an address must escape."""

_OPTIONS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # Nothing here outlives the machine.
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "50",
}


def find_programs() -> Path:
    """Return the folder of Postgres's newest programs; raises MissingProgramError."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    path = folders[-1] if folders else shutil.which("initdb")
    if not path:
        raise MissingProgramError("there is no Postgres here; Debian has it in postgresql")
    if os.geteuid() == 0:
        _find_user()
    return Path(path).parent


def _find_user() -> str:
    """Return the user that Debian's package makes: Postgres refuses to run as root."""
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise MissingProgramError("Postgres refuses root; there is no user postgres") from None


class PostgresServer:
    """Postgres in a folder of its own; it asks for a password, and has only loopback."""

    def __init__(self) -> None:
        programs = find_programs()
        self._options: dict[str, Any] = {}
        # Not below a test's folder: those of root are closed to the user that runs it.
        self._folder = Path(mkdtemp(prefix="candlewax-postgres-"))
        if os.geteuid() == 0:
            user = _find_user()
            shutil.chown(self._folder, user)
            self._options = {"user": user, "group": user, "extra_groups": []}
        self.port = free_port()
        self._make(programs / "initdb")
        settings = [part for item in _OPTIONS.items() for part in ("-c", "=".join(item))]
        command = (
            str(programs / "postgres"), "-D", str(self._data), "-p", str(self.port), *settings
        )  # fmt: skip
        self.process = ServerProcess(
            self._folder, command, self._is_ready, cwd=self._folder, **self._options
        )

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _make(self, initdb: Path) -> None:
        password = self._folder / "password"
        password.write_text(_PASSWORD, "utf-8")
        password.chmod(0o644)
        subprocess.run(
            [
                str(initdb), "-D", str(self._data), "-U", _USER, "--auth=scram-sha-256",
                f"--pwfile={password}", "--no-sync", "--encoding=UTF8", "--locale=C",
            ],
            check=True,
            capture_output=True,
            cwd=self._folder,
            **self._options,
        )  # fmt: skip

    def _is_ready(self) -> bool:
        try:
            self._execute("SELECT 1")
        except OperationalError:
            return False
        return True

    def _execute(self, statement: str) -> None:
        engine = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()

    def _url(self, database: str) -> URL:
        return URL.create("postgresql+psycopg2", _USER, _PASSWORD, "127.0.0.1", self.port, database)

    def create_database(self, name: str) -> str:
        """Create an empty database; returns its address as CANDLEWAX_COLD_CATALOG takes it."""
        self._execute(f'CREATE DATABASE "{name}"')
        return self._url(name).render_as_string(hide_password=False)

    def start(self) -> None:
        """Start, and return when it accepts connections."""
        self.process.start()

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop, or kill; what it holds stays for the next start.

        SIGINT is Postgres's fast shutdown: SIGTERM waits for its clients to leave.
        """
        self.process.stop(number)

    def remove(self) -> None:
        """Stop, and remove all that it holds."""
        self.stop()
        shutil.rmtree(self._folder)
