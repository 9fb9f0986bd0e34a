"""Grafana's dashboards, as far as no Grafana is needed to see them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.reading import ROOT, interpolated, read
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
COMPOSE = interpolated(read(ROOT / "compose.yaml"), {})["services"]

each_board = pytest.mark.parametrize("name", BOARDS)


def queries(kind: str) -> Iterator[tuple[str, str]]:
    """Each query for a kind of data source, and the panel it is for."""
    for board in BOARDS.values():
        for panel in board["panels"]:
            for target in panel["targets"]:
                if target["datasource"]["type"] == kind:
                    yield f"{panel['title']} {target['refId']}", target[_TEXTS[kind]]


_TEXTS = {"prometheus": "expr", "grafana-clickhouse-datasource": "rawSql"}


@each_board
def test_panels_are_whole(name: str) -> None:
    """Each has a title, a kind, a place and queries to a data source that is provisioned."""
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
    """Each lies within 24 columns, and no place is taken twice."""
    taken: set[tuple[int, int]] = set()
    for panel in BOARDS[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_boards_there_are() -> None:
    """One of the market, one of the pipeline, each found by its name."""
    assert {name: board["uid"] for name, board in BOARDS.items()} == {
        "market": "candlewax-market",
        "pipeline": "candlewax-pipeline",
    }
    kinds = {panel["type"] for panel in BOARDS["market"]["panels"]}
    assert "candlestick" in kinds


@each_board
def test_variables_are_declared(name: str) -> None:
    """Each `$name` is a variable of the board or one of Grafana's own."""
    board = BOARDS[name]
    declared = {variable["name"] for variable in board["templating"]["list"]}
    texts = json.dumps([board["panels"], board["templating"]])
    own = {"__rate_interval", "__timeFilter", "__fromTime", "__toTime"}
    assert set(re.findall(r"\$(\w+)", texts)) <= declared | own


def test_each_metric_shown_is_one_there_is() -> None:
    """A panel of a metric that was renamed is empty; and each metric of ours is shown."""
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
        "candlewax_cross_check_failures_total",
        "candlewax_cross_check_mismatches_total",
    }


def test_the_candles_a_panel_draws_are_its_query_s_columns() -> None:
    """By the names that the panel looks for."""
    (panel,) = (p for p in BOARDS["market"]["panels"] if p["type"] == "candlestick")
    named = set(re.findall(r"AS (\w+)", panel["targets"][0]["rawSql"]))
    assert set(panel["options"]["fields"].values()) | {"time"} == named


def test_what_is_provisioned_is_what_compose_mounts() -> None:
    """The folder of dashboards, and the data sources at their services' ports."""
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
    asked = [clickhouse["defaultDatabase"], SOURCES["clickhouse"]["secureJsonData"]["password"]]
    assert {name.removeprefix("$") for name in asked} <= given


def test_the_plugin_is_pinned() -> None:
    """ClickHouse's data source is no part of Grafana."""
    plugin = COMPOSE["grafana"]["environment"]["GF_PLUGINS_PREINSTALL_SYNC"]
    assert re.fullmatch(rf"{SOURCES['clickhouse']['type']}@\d+\.\d+\.\d+", plugin)
