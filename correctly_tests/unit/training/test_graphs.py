"""Which batches are recorded on a GPU, told without one; what a recording computes is test_training_gpu.py's."""

from __future__ import annotations

import pytest

from correctly_assets.training.engines.cuda_graphs import MOST_POSITIONS, WIDTHS, widened


@pytest.mark.parametrize(
    ("rows", "width", "window", "expected"),
    [
        (16, 41, 512, 48),
        (16, 48, 512, 48),
        (16, 41, None, 48),
        (MOST_POSITIONS // 48, 41, 512, 48),
        (MOST_POSITIONS // 48 + 1, 41, 512, 41),
        (16, 45, 47, 45),
        (16, 600, 512, 600),
    ],
)
def test_rows_are_widened_only_where_the_batch_can_be_recorded_then(
    rows: int, width: int, window: int | None, expected: int
) -> None:
    assert WIDTHS == 8
    assert widened(rows, width, window) == expected
