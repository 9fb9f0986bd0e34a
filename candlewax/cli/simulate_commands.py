"""Commands that connect a pipeline to the simulator, as they are typed in another terminal."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from shlex import quote
from typing import Final

from candlewax.core.instruments import InstrumentsError
from candlewax.core.instruments import load as load_instruments
from candlewax.runtime.installation import command
from candlewax.runtime.settings import SettingsError
from candlewax.runtime.settings import load as load_settings
from candlewax.simulator.server import Simulator

_COPY: Final = "simulated.toml"
"""Instruments file of the suggested commands: the facts of simulated markets are not real ones."""

_TOP: Final = 5
"""Number of markets of an exchange that a suggested command subscribes."""


def describe_commands(simulator: Simulator) -> str:
    """Return what to type, so that a pipeline with its page reads the simulator.

    It reads the exchanges of which the instruments file subscribes markets. If there is none, the
    commands subscribe some in a copy of the file.
    """
    names = simulator.plan.exchanges
    file, subscribed = _read_file(names)
    unread = [name for name in names if name not in subscribed]
    parts = [f"The exchanges are open at {simulator.url(names[0])} and so on."]
    if subscribed:
        parts += ["In a second terminal, type", _up(simulator, subscribed)]
        if unread:
            parts.append(f"Not read, as {file} subscribes no market of it: {', '.join(unread)}.")
        return "\n\n".join(parts)
    parts.append(f"{file} subscribes no market of them. In a second terminal, type")
    parts.append("\n".join([f"    cp {quote(str(file))} {_COPY}", *_subscribe(simulator, names)]))
    parts += ["and then", _up(simulator, names, f"CANDLEWAX_INSTRUMENTS={_COPY}")]
    return "\n\n".join(parts)


def _up(simulator: Simulator, names: Sequence[str], *settings: str) -> str:
    urls = [
        f"CANDLEWAX_{name.upper()}_{kind}={url}"
        for name in names
        for kind, url in (("URL", simulator.url(name)), ("REST_URL", simulator.rest_url(name)))
    ]
    exchanges = f"CANDLEWAX_EXCHANGES={','.join(names)}"
    return _lines(["CANDLEWAX_FEED=live", exchanges, *settings, *urls, f"{command()} up"])


def _subscribe(simulator: Simulator, names: Iterable[str]) -> list[str]:
    return [
        _lines(
            [
                f"CANDLEWAX_INSTRUMENTS={_COPY}",
                f"CANDLEWAX_{name.upper()}_REST_URL={simulator.rest_url(name)}",
                f"{command()} instruments {name} --top {_TOP}",
            ]
        )
        for name in names
    ]


def _lines(words: Sequence[str]) -> str:
    return "    " + " \\\n    ".join(words)


def _read_file(names: Sequence[str]) -> tuple[Path, list[str]]:
    """Return the instruments file, and those exchanges of which it subscribes markets.

    If it cannot be read, these are all: the start of a pipeline tells why.
    """
    path = Path("instruments.toml")
    try:
        path = load_settings().instruments
        instruments = load_instruments(path)
    except (SettingsError, InstrumentsError):
        return path, list(names)
    return path, [name for name in names if instruments.subscriptions(name)]
