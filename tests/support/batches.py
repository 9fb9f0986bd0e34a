"""Batches as tests look at them."""

from collections.abc import Iterable

from candlewax.core.batch import Batch
from candlewax.core.rows.columns import decoded_columns, merge_rows
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.row_batch import AnyBatch
from candlewax.core.trades.decode import DecodedFrames


def as_columns(batches: Iterable[AnyBatch]) -> list[Batch]:
    """The batches as columns, each by itself."""
    return [column_batch for batch in batches for column_batch in merge_rows([batch])]


def decoded_as_columns(decoded: DecodedFrames | DecodedRows) -> DecodedFrames:
    """A decoded batch as columns."""
    return decoded_columns(decoded) if isinstance(decoded, DecodedRows) else decoded
