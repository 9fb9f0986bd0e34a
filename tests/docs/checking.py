"""Checks of commands that cannot all be run here: programs, files, services, targets and modules
that they name exist.
"""

import importlib.util
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from bytewax import run as bytewax_run

from candlewax import __version__
from candlewax.exchanges import EXCHANGES
from tests.docs.commands import is_page
from tests.faults.all import FAULTS
from tests.support.processes import ROOT


def _services() -> set[str]:
    text = (ROOT / "compose.yaml").read_text()
    block = re.search(r"^services:\n(.*?)^\w", text, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^  ([\w-]+):", block.group(1) if block else "", re.MULTILINE))


_COMPOSE: Final = frozenset(
    {"up", "down", "exec", "run", "logs", "ps", "stop", "rm", "restart", "config", "kill"}
)


def _docker(words: list[str]) -> str | None:
    """Return what is wrong with a command of docker."""
    if "python" in words:
        return _python(words[words.index("python") :])
    if words[1] != "compose":
        known = {"run", "inspect", "volume"}
        return None if words[1] in known else f"docker {words[1]} is none of {known}"
    files = [word for word in words if word.endswith((".yaml", ".yml"))]
    if missing := [file for file in files if not is_page(file)]:
        return f"no such file: {missing}"
    return _compose([word for word in words[2:] if word not in files])


def _compose(words: list[str]) -> str | None:
    verb = next((word for word in words if word in _COMPOSE), None)
    if verb is None:
        return f"docker compose takes {', '.join(sorted(_COMPOSE))}"
    after = [word for word in words[words.index(verb) + 1 :] if re.match(r"[a-z]", word)]
    # Of `run` options have values; ours is checked as the command that it runs.
    if verb not in {"run", "ps", "config"} and after and after[0] not in _services():
        return f"compose.yaml has no service {after[0]}: {', '.join(sorted(_services()))}"
    return None


def _make(words: list[str]) -> str | None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    wanted = [word for word in words[1:] if "=" not in word]
    return next((f"Makefile has no target {one}" for one in wanted if one not in targets), None)


def _python(words: list[str]) -> str | None:
    if words[1] == "-c":
        return _hosts(words[2])
    if words[1] != "-m":
        return None if is_page(words[1]) else f"no such file: {words[1]}"
    module, rest = words[2], words[3:]
    if importlib.util.find_spec(module) is None:
        return f"no such module: {module}"
    return _MODULES[module](rest) if module in _MODULES else None


def _hosts(text: str) -> str | None:
    """Check that a program asks hosts that the feeds use."""
    hosts = {urlsplit(one.live.url).hostname for one in EXCHANGES.values()}
    hosts |= {urlsplit(one.rest.url).hostname for one in EXCHANGES.values()}
    others = set(re.findall(r"'([\w-]+(?:\.[\w-]+)+)'", text)) - hosts
    return f"no feed uses {others}; they use {hosts}" if others else None


def _dataflow(rest: list[str]) -> str | None:
    bytewax_run._create_arg_parser().parse_known_args(rest)  # noqa: SLF001 - it has no other
    return None if importlib.util.find_spec(rest[0]) else f"no such dataflow: {rest[0]}"


def _faults(rest: list[str]) -> str | None:
    named = [one for one in rest if not one.startswith("-")]
    return next((f"no such fault: {one}" for one in named if one not in FAULTS), None)


def _pytest(rest: list[str]) -> str | None:
    """Check that files are there, and that each holds the test that is named with it."""
    for one in rest:
        path, _, test = one.partition("::")
        if not is_page(path):
            return f"no such file: {path}"
        if test and f"def {test}(" not in (ROOT / path).read_text("utf-8"):
            return f"{path} has no test {test}"
    return None


_MODULES: Final[dict[str, Callable[[list[str]], str | None]]] = {
    "bytewax.run": _dataflow,
    "pytest": _pytest,
    "tests.faults": _faults,
}


def _curl(words: list[str]) -> str | None:
    """Check what is asked of Prometheus and ClickHouse; the page's port is asked for real."""
    text = " ".join(words)
    for name in re.findall(r"candlewax_\w+", text):
        if name not in (ROOT / "docs" / "metrics.md").read_text():
            return f"docs/metrics.md has no metric {name}"
    ports = re.findall(r"(?:localhost|127\.0\.0\.1):(\d+)", text)
    published = (ROOT / "compose.yaml").read_text()
    wrong = [port for port in ports if port != "8000" and f":{port}:" not in published]
    return f"compose.yaml opens no port {wrong}" if wrong else None


def _files(words: list[str]) -> str | None:
    paths = [word for word in words if re.search(r"\.(yml|sh)$", word) and not word.startswith("/")]
    return next((f"no such file: {path}" for path in paths if not is_page(path)), None)


_WHEEL: Final = rf"(\./)?candlewax-{re.escape(__version__)}-py3-none-any\.whl(\[cold\])?"


def _installer(words: list[str]) -> str | None:
    """Check the files that pip, pipx and uvx are given; tests/install does what they do."""
    files = [word for word in words if word.endswith((".txt", ".whl", ".whl[cold]"))]
    wrong = [one for one in files if not re.fullmatch(_WHEEL, one) and not is_page(one)]
    # Two words are only its name.
    if len(words) > 2 and not files and not any(one.startswith("git+") for one in words):
        return "names nothing to install"
    return f"neither our wheel nor a file: {wrong}" if wrong else None


CHECKS: Final[dict[str, Callable[[list[str]], str | None]]] = {
    "candlewax": lambda _: None,  # by tests of their own, above
    "grep": lambda _: None,
    "tail": lambda _: None,
    "curl": _curl,
    "deploy/run.sh": _files,  # tests/deploy/test_run.py plays it
    "docker": _docker,  # there may be no engine here
    "echo": lambda _: None,  # into curl, which is played
    "make": _make,  # tests of their own play what targets run
    "mkdir": lambda _: None,
    "pip": _installer,
    "pipx": _installer,
    "promtool": _files,  # tests/deploy/test_alerts.py runs it
    "python": _python,
    "uvx": _installer,
}
"""How commands are checked that cannot all be run here."""
