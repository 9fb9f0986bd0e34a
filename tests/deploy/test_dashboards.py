"""Grafana's dashboards, checked without Grafana."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.reading import ROOT, interpolate, read
from tests.runtime.test_metrics import families

GRAFANA = ROOT / "deploy" / "grafana"
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted((GRAFANA / "dashboards").iterdir())
}
SOURCES = {
    source["uid"]: source
    for source in read(GRAFANA / "provisioning" / "datasources" / "candlewax.yml")["datasources"]
}
COMPOSE = interpolate(read(ROOT / "compose.yaml"), {})["services"]

each_board = pytest.mark.parametrize("name", BOARDS)


def queries(kind: str) -> Iterator[tuple[str, str]]:
    """Yield each query for a kind of data source, with its panel."""
    for board in BOARDS.values():
        for panel in board["panels"]:
            for target in panel["targets"]:
                if target["datasource"]["type"] == kind:
                    yield f"{panel['title']} {target['refId']}", target[_TEXTS[kind]]


_TEXTS = {"prometheus": "expr", "grafana-clickhouse-datasource": "rawSql"}


@each_board
def test_each_panel_has_a_title_a_type_and_queries(name: str) -> None:
    """Its queries go to a provisioned data source."""
    board = BOARDS[name]
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["type"] in {"candlestick", "timeseries", "table", "stat"}
        assert panel["targets"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert SOURCES[target["datasource"]["uid"]]["type"] == target["datasource"]["type"]
            assert target[_TEXTS[target["datasource"]["type"]]]


@each_board
def test_panels_do_not_overlap(name: str) -> None:
    """Each panel lies within 24 columns."""
    occupied: set[tuple[int, int]] = set()
    for panel in BOARDS[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & occupied, panel["title"]
        occupied |= cells


def test_there_is_a_board_of_the_market_and_one_of_the_pipeline() -> None:
    """Their ids are fixed, and the market has candlesticks."""
    assert {name: board["uid"] for name, board in BOARDS.items()} == {
        "market": "candlewax-market",
        "pipeline": "candlewax-pipeline",
    }
    kinds = {panel["type"] for panel in BOARDS["market"]["panels"]}
    assert "candlestick" in kinds


@each_board
def test_each_variable_of_a_board_is_declared(name: str) -> None:
    """Or built into Grafana."""
    board = BOARDS[name]
    declared = {variable["name"] for variable in board["templating"]["list"]}
    texts = json.dumps([board["panels"], board["templating"]])
    own = {"__rate_interval", "__timeFilter", "__fromTime", "__toTime"}
    assert set(re.findall(r"\$(\w+)", texts)) <= declared | own


def test_boards_show_only_known_metrics() -> None:
    """A panel of a renamed metric would be empty. All metrics but a few are shown."""
    known = {
        name + {"counter": "_total", "histogram": "_bucket"}.get(kind, "")
        for name, kind, *_ in families()
    }
    shown = {
        re.sub(r"_(sum|count)$", "_bucket", name)
        for _, text in queries("prometheus")
        for name in re.findall(r"candlewax_\w+", text)
    }
    assert shown <= known
    assert known - shown <= {
        "candlewax_skipped_frames_total",
        "candlewax_gaps_total",
        "candlewax_outages_total",
        "candlewax_market_outages_total",
        "candlewax_cross_check_failures_total",
        "candlewax_cross_check_mismatches_total",
    }


def test_candlestick_panel_uses_the_columns_of_its_query() -> None:
    (panel,) = (p for p in BOARDS["market"]["panels"] if p["type"] == "candlestick")
    named = set(re.findall(r"AS (\w+)", panel["targets"][0]["rawSql"]))
    assert set(panel["options"]["fields"].values()) | {"time"} == named


def test_provisioned_files_and_sources_match_compose() -> None:
    """Grafana reads dashboards from their mount; data sources use the ports of the services."""
    mounts = dict(volume.split(":")[:2] for volume in COMPOSE["grafana"]["volumes"])
    (provider,) = read(GRAFANA / "provisioning" / "dashboards" / "candlewax.yml")["providers"]
    assert mounts["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    home = COMPOSE["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/market.json"
    assert SOURCES["prometheus"]["url"] == "http://prometheus:9090"
    clickhouse = SOURCES["clickhouse"]["jsonData"]
    assert (clickhouse["host"], clickhouse["port"]) == ("clickhouse", 8123)
    given = set(COMPOSE["grafana"]["environment"])
    used = [clickhouse["defaultDatabase"], SOURCES["clickhouse"]["secureJsonData"]["password"]]
    assert {name.removeprefix("$") for name in used} <= given


def test_clickhouse_plugin_has_an_exact_version() -> None:
    """It is not part of Grafana."""
    plugin = COMPOSE["grafana"]["environment"]["GF_PLUGINS_PREINSTALL_SYNC"]
    assert re.fullmatch(rf"{SOURCES['clickhouse']['type']}@\d+\.\d+\.\d+", plugin)
