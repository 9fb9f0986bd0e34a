"""Screenshots of the page for the documentation: `python tools/screenshots.py`.

Plays the sample and writes docs/images/*.png. Needs chromium on the PATH.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, sync_playwright

ROOT: Final = Path(__file__).parents[1]
IMAGES: Final = ROOT / "docs" / "images"

sys.path.insert(0, str(ROOT))

SHOTS: Final = (
    ("page-dark", "#binance/BTC/USDT/1m", "dark", (1440, 900)),
    ("page-light", "#coinbase/ETH/USD/1m", "light", (1440, 900)),
    ("page-phone", "#kraken/BTC/USD/1m", "dark", (390, 844)),
)

_SETTLED_MS: Final = 25_000
"""Time after which some candles of the recording have formed and closed."""


def main() -> None:
    """Run `candlewax up` and take the screenshots."""
    from tests.support.browser import OPTIONS, chromium  # noqa: PLC0415 - needs the path above

    code = "import sys; from candlewax.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "up", "--port=0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            address = _address(process)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium(), args=list(OPTIONS))
                for name, where, theme, size in SHOTS:
                    _shoot(browser, address + where, IMAGES / f"{name}.png", theme, size)
                browser.close()
        finally:
            process.terminate()
            process.communicate()


def _address(process: "subprocess.Popen[str]") -> str:
    for line in process.stdout or ():
        if match := re.search(r"^ {4}(http://\S+)$", line):
            return f"{match[1]}/"
    raise RuntimeError("candlewax up did not start the page")


def _shoot(browser: Browser, url: str, path: Path, theme: str, size: tuple[int, int]) -> None:
    scale = 2 if size[0] < 500 else 1
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="light" if theme == "light" else "dark",
        device_scale_factor=scale,
    )
    page = context.new_page()
    page.goto(url)
    page.locator("#legend .seal").wait_for(timeout=120_000)
    page.wait_for_timeout(_SETTLED_MS)
    path.parent.mkdir(exist_ok=True)
    page.screenshot(path=str(path))
    context.close()


if __name__ == "__main__":
    main()
