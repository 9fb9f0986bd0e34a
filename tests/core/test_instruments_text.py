"""Changes of an instruments file as text."""

import pytest

from candlewax.core.instruments_text import LayoutError, with_markets

NEW = {"symbol": "A/B", "tick": "0.1", "status": "trading"}
LINE = '{ symbol = "A/B", tick = "0.1", status = "trading" }'


def test_line_keeps_its_comment_place_and_neighbours() -> None:
    """A sign # within a name is no comment; windows' line ends stay."""
    text = (
        "[ kraken.also ]  # names\r\n"
        "\"A#B\" = 'A/B' # it's #1\r\n"
        "# C = 'C/D'\r\n"
        "  E = 'E/F'\r\n"
        "\r\n"
        "# about Binance\r\n"
        "[binance.also]\r\n"
    )
    changed = with_markets(text, "kraken", {"also": {"A#B": NEW, "X Y": "X/Y", "E": "E/F"}})
    assert changed == text.replace("\"A#B\" = 'A/B'", f'"A#B" = {LINE}').replace(
        "'E/F'\r\n", '\'E/F\'\r\n"X Y" = "X/Y"\r\n'
    )


def test_absent_table_is_added_behind_the_exchange_s_own() -> None:
    """Comments above the next exchange stay with it."""
    text = "[kraken]\nassets = [\n    'A',\n]\n\n# next\n[binance.also]\nAB = 'A/B'"
    changed = with_markets(text, "kraken", {"subscribe": {"A/B": NEW}})
    assert changed == text.replace("# next", f'[kraken.subscribe]\n"A/B" = {LINE}\n\n# next')
    assert with_markets("", "kraken", {"also": {"C": "C/D"}}) == '[kraken.also]\nC = "C/D"\n'


@pytest.mark.parametrize(
    "text",
    [
        "kraken.also.AB = 'X/B'",
        "[kraken]\nalso = {AB = 'X/B'}",
        "[kraken.also]\nAB = { symbol = '''\nA/B''' }",
    ],
)
def test_text_in_another_layout_is_refused(text: str) -> None:
    """None of these values stands on a line of its own."""
    with pytest.raises(LayoutError, match=r"one a line below \[kraken.subscribe\]"):
        with_markets(text, "kraken", {"also": {"AB": NEW}})


def test_market_in_both_tables_gets_its_value_in_both() -> None:
    """A file in which they differ cannot be read."""
    text = "[kraken.subscribe]\nAB = 'A/B'\n[kraken.also]\nAB = 'A/B' # known\nCD = 'C/D'\n"
    changed = with_markets(text, "kraken", {"subscribe": {"AB": NEW}})
    assert changed == text.replace("'A/B'", LINE)
