"""A terminal with 80 columns, and the time zone UTC."""

import time
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def eighty_columns_in_utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()
