"""The frame with which the driver of a page shows an event."""

import pytest

from bench.live.page_driver import FRAME_S, shown_at


@pytest.mark.parametrize(
    ("received_frames", "shown_frames"), [(0.0, 2), (0.01, 2), (0.99, 2), (1.01, 3), (-0.5, 1)]
)
def test_event_is_drawn_with_the_next_frame_and_shown_one_later(
    received_frames: float, shown_frames: int
) -> None:
    """Counted in frames from one of the screen."""
    phase_s = 1_000.0
    shown_s = shown_at(phase_s + received_frames * FRAME_S, phase_s)
    assert shown_s == pytest.approx(phase_s + shown_frames * FRAME_S)
