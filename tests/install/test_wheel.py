"""Contents of the wheel, which the same sources always make the same."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from candlewax import data
from tests.support.installed import build_wheel
from tests.support.processes import ROOT

pytestmark = pytest.mark.slow("builds twice", seconds=8)

BUNDLED = [
    "instruments.toml",
    *(one.relative_to(ROOT).as_posix() for one in data.DDL.rglob("*") if one.is_file()),
]

SDIST = "from setuptools import build_meta; import sys; print(build_meta.build_sdist(sys.argv[1]))"


@pytest.fixture(scope="module")
def opened(wheel: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(wheel) as archive:
        yield archive


def test_bundled_files_are_those_of_the_checkout(opened: zipfile.ZipFile) -> None:
    """Byte for byte, and all of them."""
    below = "candlewax/data/"
    held = {name.removeprefix(below) for name in opened.namelist() if name.startswith(below)}
    sources = {path.name for path in (ROOT / below).iterdir() if path.is_file()}
    assert held == sources | set(BUNDLED)
    for path in BUNDLED:
        assert opened.read(below + path) == (ROOT / path).read_bytes(), path


def test_checkout_holds_no_second_copy() -> None:
    """`find_bundled` would prefer it to the files that are changed."""
    assert ROOT / "clickhouse" / "ddl" == data.DDL
    assert ROOT / "instruments.toml" == data.INSTRUMENTS
    assert len(BUNDLED) > 20


def test_wheel_holds_every_module_and_file_of_the_page(opened: zipfile.ZipFile) -> None:
    packages = [ROOT / "candlewax", ROOT / "dataflows"]
    static = ROOT / "candlewax" / "web" / "static"
    files = [path for folder in packages for path in folder.rglob("*.py")]
    files += [path for path in static.rglob("*") if path.is_file()]
    needed = {path.relative_to(ROOT).as_posix() for path in files}
    assert needed <= set(opened.namelist())
    others = {name.partition("/")[0] for name in opened.namelist()} - {"candlewax", "dataflows"}
    assert all(name.endswith(".dist-info") for name in others)


def test_source_distribution_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """It holds all that the build needs; and a second build gives the same bytes."""
    checkout = tmp_path / "checkout"
    # Without the lists of files that earlier builds left.
    left_out = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "tests")
    shutil.copytree(ROOT, checkout, ignore=left_out)
    command = [sys.executable, "-c", SDIST, str(tmp_path)]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True)
    (packed,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (unpacked,) = (tmp_path / "source").iterdir()
    assert build_wheel(tmp_path, unpacked).read_bytes() == wheel.read_bytes()
