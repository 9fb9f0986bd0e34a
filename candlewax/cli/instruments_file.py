"""The instruments file, changed as a whole or not at all."""

import io
import os
import shutil
import tempfile
from pathlib import Path

from candlewax.cli.common import CommandError
from candlewax.core.instruments import InstrumentsError
from candlewax.core.instruments import load as load_instruments
from candlewax.core.instruments_text import LayoutError, Tables, with_markets
from candlewax.data import INSTRUMENTS

_MARK = b"\xef\xbb\xbf"
"""Mark that some editors put before UTF-8."""


class InstrumentsFile:
    """An instruments file that is read, and replaced by a changed one.

    The bundled file stays as it is: its copy in the working directory is written. Raises
    InstrumentsError if the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        # A link stays one: the file that it names is replaced.
        self.target = (Path(path.name) if path == INSTRUMENTS else path).resolve()
        self.content = load_instruments(path).content
        self._path = path
        self._read = path.read_bytes()

    def write(self, exchange: str, markets: Tables, *, in_place: bool = False) -> bool:
        """Write markets of an exchange. Return False if the file has them already.

        With `in_place` the file itself stays, as a container knows it by; otherwise another one
        takes its place at once.

        Raises CommandError if nothing can be written, or if the file was changed meanwhile.
        """
        mark = _MARK if self._read.startswith(_MARK) else b""
        text = self._read.removeprefix(_MARK).decode()
        try:
            changed = mark + with_markets(text, exchange, markets).encode()
        except LayoutError as error:
            raise CommandError(f"{self._path}: {error}") from error
        if changed == self._read:
            return False
        try:
            self._replace(changed, in_place=in_place and self.target.exists())
        except OSError as error:
            raise CommandError(f"{self.target}: cannot be written: {error.strerror}") from error
        return True

    def _replace(self, changed: bytes, *, in_place: bool) -> None:
        """Put the changed text in place of the file, once it is on disk and can be read back."""
        # A file that was mounted alone may be the only one of its folder that can be written.
        folder = None if in_place else self.target.parent
        handle, name = tempfile.mkstemp(".toml", f".{self.target.stem}-", folder)
        unfinished = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(changed)
                file.flush()
                os.fsync(file.fileno())
            shutil.copymode(self._path, unfinished)
            try:
                load_instruments(unfinished)
            except InstrumentsError as error:
                raise CommandError(
                    f"{self.target} stays as it is: {str(error).removeprefix(f'{unfinished}: ')}"
                ) from error
            if self._path.read_bytes() != self._read:
                raise CommandError(f"{self._path} was changed meanwhile; run the command again")
            if in_place:
                self._overwrite(changed)
            else:
                unfinished.replace(self.target)
        finally:
            unfinished.unlink(missing_ok=True)

    def _overwrite(self, changed: bytes) -> None:
        """Write into the file itself; if that fails, as on a full disk, put its old text back."""
        with self.target.open("r+b", buffering=0) as file:
            try:
                _put(file, changed)
            except OSError:
                _put(file, self._read)
                raise


def _put(file: io.FileIO, text: bytes) -> None:
    left = memoryview(text)
    file.seek(0)
    while left:
        left = left[file.write(left) :]
    file.truncate()
    os.fsync(file.fileno())
