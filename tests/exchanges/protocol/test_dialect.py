"""Layouts of frames, ordered by likelihood for decoding in bulk."""

import polars as pl

from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.dialect import order_by_likelihood

_BARE = '{"e":"trade","E":2,"T":1,"s":"AB","t":3,"p":"4.5","q":"6","X":"MARKET","m":false}'
_WRAPPED = f'{{"stream":"ab@trade","data":{_BARE}}}'
_LAYOUTS = EXCHANGES["binance_usdm"].layouts


def _order(*frames: str) -> list[bool]:
    """Return for each layout in order whether it recognizes the last frame."""
    ordered = order_by_likelihood(_LAYOUTS, pl.DataFrame({"frame": frames}))
    assert sorted(map(id, ordered)) == sorted(map(id, _LAYOUTS))
    return [bool(layout.recognizes(frames[-1])) for layout in ordered]


def test_layout_of_the_frames_is_tried_first() -> None:
    """Regardless of its place in the exchange's list."""
    assert _order(_BARE) == [True, False, False, False]
    assert _order(_WRAPPED) == [True, False, False, False]
    assert _order('{"result":null,"id":1}', _WRAPPED) == [True, False, False, False]


def test_order_of_layouts_is_kept_when_no_frame_matches() -> None:
    frames = pl.DataFrame({"frame": ['{"result":null,"id":1}']})
    assert order_by_likelihood(_LAYOUTS, frames) == list(_LAYOUTS)
