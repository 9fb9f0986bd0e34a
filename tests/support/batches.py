"""Batches as tests look at them."""

from collections.abc import Iterable

from candlewax.core.batch import Batch
from candlewax.core.rows.columns import merge_rows
from candlewax.core.rows.row_batch import AnyBatch


def as_columns(batches: Iterable[AnyBatch]) -> list[Batch]:
    """The batches as columns, each by itself."""
    return [column_batch for batch in batches for column_batch in merge_rows([batch])]
