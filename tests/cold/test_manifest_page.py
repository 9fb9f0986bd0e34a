"""Page on manifests: its example is one, its verifier works, and so does its hash."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from candlewax.cold import manifest
from candlewax.cold.layers import LAYERS
from candlewax.cold.seal import make_manifest
from candlewax.cold.tier import ColdTier
from tests.support import seal_keys
from tests.support.cold_tables import hour, offload
from tests.support.seal_keys import SEALED_AT

PAGE = (Path(__file__).parents[2] / "docs" / "archive-manifest.md").read_text("utf-8")


def block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


def test_example_is_a_manifest() -> None:
    joined = re.sub(r"\n *", "", block("json"))
    read = manifest.parse("2026-03-02.json", joined.encode())
    assert [unit["rows"] for _, unit in read.units()] == [20, 1]
    # Each key is described.
    keys = set(read.document) | set(read.document["units"][0]) | set(read.document["files"][0])
    assert [key for key in sorted(keys) if f"`{key}`" not in PAGE] == []


def test_example_has_the_keys_of_a_manifest_that_is_made(traded: ColdTier) -> None:
    made = make_manifest(traded, SEALED_AT)
    assert made
    folder = Path(traded.settings.location) / "manifests"
    found = json.loads((folder / made.name).read_bytes())
    example = json.loads(block("json"))
    assert found.keys() == example.keys()
    for name in ("units", "files"):
        assert found[name][0].keys() == example[name][0].keys()
    assert found["files"][0]["units"][0].keys() == example["files"][0]["units"][0].keys()
    assert found["tables"]["silver.trades"].keys() == example["tables"]["silver.trades"].keys()


def test_verifier_of_the_page_accepts_an_archive_and_refuses_a_changed_one(
    filled_tier: ColdTier, tmp_path: Path
) -> None:
    key = seal_keys.new_key(tmp_path)[1]
    offload(filled_tier, "silver.trades")
    tier = seal_keys.with_key(filled_tier, key)
    make_manifest(tier, SEALED_AT)
    program = tmp_path / "verifier.py"
    program.write_text(block("python"), "utf-8")
    arguments = [program, Path(tier.settings.location), seal_keys.public_file(key)]
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "6 units in 6 files are as 2026-03-01.json has them\n"
    path = next(Path(tier.settings.location).glob("warehouse/**/*.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert f"{path.name}: changed" in refused.stderr


@pytest.mark.parametrize("exchange", ["binance", "kraken"])
def test_hash_of_the_page_is_that_of_the_unit(traded: ColdTier, exchange: str) -> None:
    unit = hour("silver.trades", exchange, 1)
    state = traded.unit_table.states(LAYERS["silver.trades"])[unit]
    location = traded.warehouse.load(LAYERS["silver.trades"]).location()
    sql = block("sql").replace("20260227T10-5f0c.parquet", f"{location}/{state.files[0]}")
    sql = sql.replace("file://", "")
    sql = sql.replace("2026-02-27 10:00:00", f"{unit.begin:%F %T}")
    sql = sql.replace("2026-02-27 11:00:00", f"{unit.end:%F %T}")
    assert traded.database.query(sql)["content"][0] == state.measure.content
