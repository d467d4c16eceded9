"""The monitor type and the notifier type "fake" of the nodes in `worlds`."""

from collections.abc import Iterator

import pytest

from monitord.monitors import MONITOR_TYPES
from tests.alerts.fakes import fake_type
from tests.fakes import FakeMonitor


@pytest.fixture(autouse=True)
def fake_types() -> Iterator[None]:
    MONITOR_TYPES["fake"] = FakeMonitor
    try:
        with fake_type():
            yield
    finally:
        del MONITOR_TYPES["fake"]
