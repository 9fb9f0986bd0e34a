"""Picture of the output of `make run` in a terminal: writes docs/images/terminal.svg."""

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
    """Run the sample in a temporary folder and draw its output."""
    output = bytearray()

    def read(terminal: int) -> bytes:
        chunk = os.read(terminal, 65536)
        output.extend(chunk)
        return chunk

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
    # Commands are shown as they are typed in the checkout.
    text = output.decode().replace("\r\n", "\n").replace(f"{ROOT}/", "")
    console.print(Text.from_ansi(f"$ make run\n{text}"))
    svg = console.export_svg(title="Candlewax")
    # Without downloads: the reader's own monospace font is used.
    svg_without_fonts = re.sub(r"<!--.*?-->|@font-face\s*{.*?}", "", svg, flags=re.DOTALL)
    PICTURE.write_text(svg_without_fonts.replace("Fira Code", "ui-monospace"), encoding="utf-8")
    print(PICTURE)


if __name__ == "__main__":
    main()
