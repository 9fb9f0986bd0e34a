"""Draws what `make run` prints in a terminal: docs/images/terminal.svg."""

import io
import os
import pty
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

ROOT: Final = Path(__file__).parents[1]
PICTURE: Final = ROOT / "docs" / "images" / "terminal.svg"
WIDTH: Final = 100


def main() -> None:
    """Play the sample into a database of its own, and draw what was said."""
    said = bytearray()

    def read(terminal: int) -> bytes:
        piece = os.read(terminal, 65536)
        said.extend(piece)
        return piece

    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "CANDLEWAX_INSTRUMENTS": str(ROOT / "instruments.toml"),
            "COLUMNS": str(WIDTH),
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
        }
        os.chdir(folder)
        status = pty.spawn([sys.executable, "-m", "bytewax.run", "dataflows.ohlcv"], read)
    if status:
        sys.exit("the run failed")
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text.from_ansi("$ make run\n" + said.decode().replace("\r\n", "\n")))
    drawn = console.export_svg(title="Candlewax")
    # A picture that fetches nothing: the reader's own font will do.
    plain = re.sub(r"<!--.*?-->|@font-face\s*{.*?}", "", drawn, flags=re.DOTALL)
    PICTURE.write_text(plain.replace("Fira Code", "ui-monospace"), encoding="utf-8")
    print(PICTURE)


if __name__ == "__main__":
    main()
