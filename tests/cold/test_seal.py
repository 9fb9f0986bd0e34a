"""Seal: what a manifest says of the archive, its chain, and its signature."""

import base64
import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_public_key,
)

from candlewax.cold.layers import LAYERS
from candlewax.cold.maintenance.compact import compact, find_merges
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.seal import make_manifest, sealed_units
from candlewax.cold.signature import KeyFileError
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import RELEASED, SEALED, VERIFIED, WRITTEN
from tests.support import seal_keys
from tests.support.cold_tables import FIRST_HOUR, hour, offload
from tests.support.seal_keys import SEALED_AT

SILVER = LAYERS["silver.trades"]
DAY = timedelta(days=1)


def folder(tier: ColdTier) -> Path:
    return Path(tier.settings.manifests.removeprefix("file://"))


def document(tier: ColdTier, name: str = "2026-03-01.json") -> dict[str, Any]:
    found = json.loads((folder(tier) / name).read_bytes())
    assert isinstance(found, dict)
    return found


def states(tier: ColdTier) -> set[str]:
    return {one.state for one in tier.unit_table.states(SILVER).values()}


def test_manifest_names_each_unit_with_its_file_as_it_is_on_the_disk(
    traded: ColdTier,
) -> None:
    made = make_manifest(traded, SEALED_AT)
    assert made
    assert (made.name, made.units, made.files, made.is_signed) == ("2026-03-01.json", 6, 6, False)
    found = document(traded)
    of_binance = [unit for unit in found["units"] if unit["exchange"] == "binance"]
    # Two hours of a trade each 3 minutes, and one trade two hours later.
    assert [unit["rows"] for unit in of_binance] == [20, 20, 1]
    assert of_binance[0]["begin"] == f"{FIRST_HOUR:%Y-%m-%dT%H}:00:00Z"
    assert of_binance[1]["begin"] == of_binance[0]["end"]
    warehouse = Path(traded.settings.warehouse.removeprefix("file://"))
    for file in found["files"]:
        content = (warehouse / file["path"]).read_bytes()
        assert file["size"] == len(content)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert {path for unit in found["units"] for path in unit["files"]} == {
        file["path"] for file in found["files"]
    }
    assert found["previous"] is None
    table = traded.warehouse.load(SILVER)
    snapshot = table.current_snapshot()
    assert snapshot
    assert found["tables"]["silver.trades"]["snapshot"] == str(snapshot.snapshot_id)
    assert (warehouse / found["tables"]["silver.trades"]["metadata"]).is_file()


def test_manifest_is_in_canonical_form(traded: ColdTier) -> None:
    make_manifest(traded, SEALED_AT)
    content = (folder(traded) / "2026-03-01.json").read_text("utf-8")
    found = document(traded)
    assert content == json.dumps(found, sort_keys=True, separators=(",", ":"))
    assert [path.name for path in folder(traded).iterdir()] == ["2026-03-01.json"]


def test_sealed_units_are_known_as_sealed_and_a_released_one_stays_released(
    traded: ColdTier,
) -> None:
    unit = hour("silver.trades", "binance")
    state = traded.unit_table.states(SILVER)[unit]
    traded.unit_table.store([state.advance(RELEASED)])
    traded.unit_table.store_released([unit], released=True)
    make_manifest(traded, SEALED_AT)
    after = traded.unit_table.states(SILVER)
    assert (after[unit].state, after[unit].released) == (RELEASED, True)
    assert {one.state for other, one in after.items() if other != unit} == {SEALED}
    assert len(document(traded)["units"]) == 6


def test_sealed_units_are_told_by_their_content(traded: ColdTier) -> None:
    assert not any(
        sealed_units(traded)(unit, one.measure)
        for unit, one in traded.unit_table.states(SILVER).items()
    )
    make_manifest(traded, SEALED_AT)
    is_sealed = sealed_units(traded)
    state = traded.unit_table.states(SILVER)[hour("silver.trades", "binance")]
    assert is_sealed(state.unit, state.measure)
    assert not is_sealed(state.unit, state.measure._replace(content="0" * 32))
    assert not is_sealed(hour("silver.trades", "binance", 9), state.measure)


def test_second_manifest_of_a_day_is_not_made(filled_tier: ColdTier) -> None:
    assert make_manifest(filled_tier, SEALED_AT)
    before = (folder(filled_tier) / "2026-03-01.json").read_bytes()
    offload(filled_tier, "silver.trades")
    assert make_manifest(filled_tier, SEALED_AT + timedelta(hours=23)) is None
    assert (folder(filled_tier) / "2026-03-01.json").read_bytes() == before
    assert states(filled_tier) == {VERIFIED}


def test_manifest_names_the_one_before_and_only_what_is_new(traded: ColdTier) -> None:
    make_manifest(traded, SEALED_AT)
    offload(traded, "raw.dead_letters")
    # No manifest was made on the day between.
    make_manifest(traded, SEALED_AT + 2 * DAY)
    found = document(traded, "2026-03-03.json")
    first = (folder(traded) / "2026-03-01.json").read_bytes()
    assert found["previous"] == {
        "name": "2026-03-01.json",
        "sha256": hashlib.sha256(first).hexdigest(),
    }
    assert {unit["layer"] for unit in found["units"]} == {"raw.dead_letters"}
    assert set(found["tables"]) == {"raw.dead_letters"}


def test_compacted_day_is_sealed_again_in_its_new_files(traded: ColdTier) -> None:
    make_manifest(traded, SEALED_AT)
    before = {unit["begin"] + unit["exchange"]: unit for unit in document(traded)["units"]}
    compact(traded, find_merges(traded, SILVER, SEALED_AT))
    assert states(traded) == {VERIFIED}
    make_manifest(traded, SEALED_AT + DAY)
    found = document(traded, "2026-03-02.json")
    assert (len(found["units"]), len(found["files"])) == (6, 2)
    for unit in found["units"]:
        old = before[unit["begin"] + unit["exchange"]]
        assert (unit["rows"], unit["content"]) == (old["rows"], old["content"])
        assert unit["files"] != old["files"]
    assert states(traded) == {SEALED}


def test_unit_that_is_not_verified_is_not_sealed(traded: ColdTier) -> None:
    unit = hour("silver.trades", "binance")
    state = traded.unit_table.states(SILVER)[unit]
    traded.unit_table.store([state.advance(WRITTEN)])
    make_manifest(traded, SEALED_AT)
    assert len(document(traded)["units"]) == 5
    assert traded.unit_table.states(SILVER)[unit].state == WRITTEN


def test_states_that_were_not_stored_are_made_good_by_the_next_manifest(
    traded: ColdTier,
) -> None:
    verified = list(traded.unit_table.states(SILVER).values())
    make_manifest(traded, SEALED_AT)
    # As if the process had ended between the manifest and the states.
    current = traded.unit_table.states(SILVER)
    traded.unit_table.store(replace(one, version=current[one.unit].version) for one in verified)
    assert states(traded) == {VERIFIED}
    make_manifest(traded, SEALED_AT + DAY)
    assert document(traded, "2026-03-02.json")["units"] == []
    assert states(traded) == {SEALED}


def test_manifest_is_signed_with_the_key_whose_public_part_lies_beside(
    filled_tier: ColdTier, tmp_path: Path
) -> None:
    key, path = seal_keys.new_key(tmp_path)
    tier = seal_keys.with_key(filled_tier, path)
    made = make_manifest(tier, SEALED_AT)
    assert made
    assert made.is_signed
    content = (folder(tier) / "2026-03-01.json").read_bytes()
    signature = base64.b64decode((folder(tier) / "2026-03-01.json.sig").read_bytes())
    # Raises unless it is valid.
    key.public_key().verify(signature, content)
    assert load_pem_public_key((folder(tier) / "seal.pub").read_bytes()) == key.public_key()


def test_signature_that_was_not_written_is_made_good(filled_tier: ColdTier, tmp_path: Path) -> None:
    tier = seal_keys.with_key(filled_tier, seal_keys.new_key(tmp_path)[1])
    make_manifest(tier, SEALED_AT)
    path = folder(tier) / "2026-03-01.json.sig"
    before = path.read_bytes()
    path.unlink()
    assert make_manifest(tier, SEALED_AT) is None
    assert path.read_bytes() == before


def test_other_key_than_before_is_refused(filled_tier: ColdTier, tmp_path: Path) -> None:
    make_manifest(seal_keys.with_key(filled_tier, seal_keys.new_key(tmp_path)[1]), SEALED_AT)
    other = seal_keys.with_key(filled_tier, seal_keys.new_key(tmp_path, "other.key")[1])
    with pytest.raises(KeyFileError, match="not the key that signed"):
        make_manifest(other, SEALED_AT + DAY)
    assert not (folder(filled_tier) / "2026-03-02.json").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a key",
        seal_keys.private_pem(generate_private_key(SECP256R1())),
        seal_keys.private_pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"secret")),
    ],
    ids=["empty", "text", "other kind", "with password"],
)
def test_key_file_that_cannot_sign_is_named_with_what_is_needed(
    filled_tier: ColdTier, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "wrong.key"
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match=r"wrong\.key: takes an Ed25519 private key in PEM"):
        make_manifest(seal_keys.with_key(filled_tier, path), SEALED_AT)
    assert not folder(filled_tier).exists()


def test_clock_before_the_newest_manifest_makes_none(filled_tier: ColdTier) -> None:
    make_manifest(filled_tier, SEALED_AT)
    with pytest.raises(ArchiveError, match="is the clock wrong"):
        make_manifest(filled_tier, SEALED_AT - DAY)


def test_damaged_manifest_stops_the_next_one(filled_tier: ColdTier) -> None:
    make_manifest(filled_tier, SEALED_AT)
    (folder(filled_tier) / "2026-03-01.json").write_bytes(b"{}")
    with pytest.raises(ArchiveError, match=r"2026-03-01\.json: is no manifest"):
        make_manifest(filled_tier, SEALED_AT + DAY)
