"""What tests of kernels share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from daybreak._core import frame as native
from daybreak.frame import seams


@pytest.fixture
def always_native() -> Iterator[None]:
    """Kernels run from the first row on; how they deal out their work is as ever afterwards."""
    before = seams.least_rows(0)
    yield
    seams.least_rows(before)
    native.deal(0, 1 << 16)
