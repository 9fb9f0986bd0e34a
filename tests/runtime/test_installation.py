"""The files that an installation reads, and how its commands are typed."""

import sys
from pathlib import Path

import pytest

from candlewax.data import CHECKOUT, INSTRUMENTS
from candlewax.runtime import installation
from candlewax.runtime.settings import Settings, load


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no program on the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    return tmp_path


def read(**settings: str) -> Settings:
    return load({f"CANDLEWAX_{name}": text for name, text in settings.items()})


@pytest.mark.parametrize("is_broken", [False, True], ids=["file", "link to nothing"])
@pytest.mark.usefixtures("folder")
def test_instruments_file_of_the_directory_replaces_the_bundled_one(*, is_broken: bool) -> None:
    """Also if it cannot be read, which is an error later; and a setting replaces both."""
    assert read().instruments == INSTRUMENTS
    own = Path("instruments.toml")
    if is_broken:
        own.symlink_to("nothing")
    else:
        own.touch()
    assert read().instruments == own
    assert read(INSTRUMENTS="other.toml").instruments == Path("other.toml")


def test_files_and_places_are_named_by_absolute_paths(folder: Path) -> None:
    assert str(INSTRUMENTS) in installation.describe_instruments(read())
    own = installation.describe_instruments(read(INSTRUMENTS="own.toml"))
    assert own == f"Instruments are read from {folder}/own.toml."
    stored = installation.describe_database(read(CLICKHOUSE="here", DATABASE="mine"))
    assert stored == f"Data is stored in {folder}/here, database mine"


def test_server_is_named_without_its_password() -> None:
    stored = installation.describe_database(read(CLICKHOUSE="http://me:secret@host:8123"))
    assert stored == "Data is stored in http://host:8123, database market"


def place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretend that the running Python is that of an environment in the folder."""
    (folder / "bin").mkdir(parents=True)
    for name in ("python", "candlewax"):
        (folder / "bin" / name).touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "bin" / "python"))
    return folder / "bin"


def test_program_on_the_path_is_typed_by_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an activated environment."""
    monkeypatch.setenv("PATH", str(place(folder / "venv", monkeypatch)))
    assert installation.command() == "candlewax"
    assert installation.dataflow_command("run") == "python -m bytewax.run dataflows.ohlcv"


def test_program_below_the_directory_is_typed_by_its_relative_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(folder / ".venv", monkeypatch)
    assert installation.command() == ".venv/bin/candlewax"
    run = ".venv/bin/python -m bytewax.run dataflows.ohlcv"
    assert installation.dataflow_command("run") == run


def test_program_elsewhere_is_typed_by_its_absolute_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the same name on the path is another installation."""
    monkeypatch.setenv("PATH", str(place(folder / "other", monkeypatch)))
    programs = place(folder / "own", monkeypatch)
    (folder / "work").mkdir()
    monkeypatch.chdir(folder / "work")
    assert installation.command() == str(programs / "candlewax")


def test_checkout_has_targets_of_make(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    assert installation.dataflow_command("live") == "make live"
