"""A certificate authority of the tests of this directory."""

import pytest

from tests.certificates import Authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()
