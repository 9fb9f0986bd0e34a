"""Breaks the product line by line, in a copy of it, and tells which breaks no test catches.

The breaks are listed in `tests/mutants.toml`. All are tried, or those whose names are given:

    .venv/bin/python tools/mutants.py merge-close-by-time-only
"""  # noqa: INP001 - a script, not a package

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LIST: Final = ROOT / "tests" / "mutants.toml"

LONGEST_S: Final = 300
"""Seconds after which tests of a break are ended: a break that hangs does not pass."""

_LEFT_OUT: Final = frozenset({"data", "build", "dist"})
"""What runs and builds leave at the top of the tree."""

_PASSED, _FAILED = 0, 1
"""Statuses of pytest. With all others it has run no test."""


class MutantError(ValueError):
    """The list cannot be used; the text says which break and why."""


@dataclass(frozen=True)
class Mutant:
    """A break: in `file` the text `before` becomes `after`.

    `wrong` says what users would see of it, `tests` are the files of which one has to fail.
    """

    name: str
    file: str
    before: str
    after: str
    wrong: str
    tests: tuple[str, ...]

    def apply(self, text: str) -> str:
        """Return the file's text with the break. Raises MutantError if the place is not one."""
        count = text.count(self.before)
        if count != 1:
            raise MutantError(f"{self.name}: {self.file} holds {count} times {self.before!r}")
        lines = self.before.split("\n"), self.after.split("\n")
        if list(map(len, lines)) != [len(lines[0])] * 2 or sum(map(str.__ne__, *lines)) != 1:
            raise MutantError(f"{self.name}: a break changes one line")
        return text.replace(self.before, self.after)


def load(path: Path = LIST) -> list[Mutant]:
    """Read the list. Raises MutantError."""
    try:
        found = [
            Mutant(**{**one, "tests": tuple(one["tests"])})
            for one in tomllib.loads(path.read_text("utf-8"))["mutant"]
        ]
    except (KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise MutantError(f"{path}: {error}") from error
    names = [mutant.name for mutant in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise MutantError(f"{path}: {', '.join(sorted(twice))} is there twice")
    return found


def check(mutants: Sequence[Mutant], root: Path = ROOT) -> None:
    """Raise MutantError unless every break has its place and its tests exist."""
    for mutant in mutants:
        mutant.apply((root / mutant.file).read_text("utf-8"))
        if not mutant.tests:
            raise MutantError(f"{mutant.name}: names no test")
        for test in mutant.tests:
            if not (root / test).is_file():
                raise MutantError(f"{mutant.name}: there is no {test}")


class Copy:
    """A copy of the tree, whose tests import from it alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {**os.environ, "PYTHONPATH": str(folder)}
        for path in ROOT.iterdir():
            if path.name.startswith(".") or path.name in _LEFT_OUT:
                continue
            if path.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(path, folder / path.name, ignore=ignored)
            else:
                shutil.copy2(path, folder / path.name)

    def test(self, files: Sequence[str]) -> tuple[int | None, str]:
        """Run test files up to the first failure; give pytest's status, None if they hang, and
        what it printed.
        """
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *files]
        run = subprocess.Popen(
            command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            printed, _ = run.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            return None, ""
        finally:
            if run.poll() is None:
                # With what tests have started.
                os.killpg(run.pid, signal.SIGKILL)
                run.communicate()
        return run.returncode, printed

    @contextmanager
    def broken(self, mutant: Mutant) -> Iterator[None]:
        """Break a file, and mend it again."""
        path = self._folder / mutant.file
        sound = path.read_text("utf-8")
        try:
            self._write(path, mutant.apply(sound))
            yield
        finally:
            self._write(path, sound)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, "utf-8")
        # Compiled files are told apart by size and second: a break may change neither.
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()


def run(mutants: Sequence[Mutant]) -> bool:
    """Try the breaks and print what became of each; tell whether all were caught."""
    begun, good = time.monotonic(), True
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Copy(Path(folder))
        files = sorted({test for mutant in mutants for test in mutant.tests})
        status, printed = copy.test(files)
        if status != _PASSED:
            print(printed)
            print("the tests fail without any break: mend them first")
            return False
        print(f"unbroken, {len(files)} files of tests pass: {time.monotonic() - begun:.0f} s")
        width = max(len(mutant.name) for mutant in mutants)
        for mutant in mutants:
            since = time.monotonic()
            with copy.broken(mutant):
                status, printed = copy.test(mutant.tests)
            caught = status in {_FAILED, None}
            good = good and caught
            what = {_FAILED: "caught", None: "caught: no end", _PASSED: "NOT CAUGHT"}
            took = time.monotonic() - since
            print(f"{mutant.name:{width}} {took:6.1f} s  {what.get(status, 'NO TEST RAN')}")
            if status == _PASSED:
                print(f"    {mutant.file}: {mutant.before}\n    {mutant.after}\n    {mutant.wrong}")
            elif not caught:
                print(printed)
    print(f"{len(mutants)} breaks: {time.monotonic() - begun:.0f} s")
    return good


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; give its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a break to try; all if none")
    parser.add_argument("--list", action="store_true", help="print the breaks and try none")
    options = parser.parse_args(arguments)
    try:
        known = load()
        check(known)
    except (MutantError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    unknown = set(options.names) - {mutant.name for mutant in known}
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; --list names all")
    chosen = [one for one in known if not options.names or one.name in options.names]
    if options.list:
        for mutant in chosen:
            print(f"{mutant.name}: {mutant.file}: {mutant.wrong}")
        return 0
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream
    return 0 if run(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
