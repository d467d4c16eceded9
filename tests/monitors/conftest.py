"""An authority for the certificates of peers."""

import pytest

from tests.certificates import Authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def ca_file(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(authority.write(tmp_path_factory.mktemp("authority") / "ca.pem"))
