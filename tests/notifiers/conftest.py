"""Tools of notifiers, and a certificate authority for their receivers."""

from collections.abc import AsyncIterator

import pytest

from monitord.clock import SystemClock
from monitord.notifiers import NotifierTools
from tests.alerts.fakes import tools as make_tools
from tests.certificates import Authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def tools() -> AsyncIterator[NotifierTools]:
    made = make_tools(SystemClock())
    yield made
    await made.http.close()
    await made.processes.close()
