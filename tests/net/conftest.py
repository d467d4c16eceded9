"""A client whose names are the test's own, and a deadline to give it."""

import socket
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from monitord.net import (
    FailureKind,
    HttpClient,
    HttpExchange,
    HttpFailure,
    HttpOutcome,
    HttpRequest,
    TlsContexts,
)
from tests.certificates import Authority
from tests.fakes import resolver_without_queue
from tests.time_limits import within_growing_limit

NAMES = {
    "one.test": ["127.0.0.1"],
    "two.test": ["127.0.0.1"],
    "three.test": ["127.0.0.1", "127.0.0.2", "127.0.0.3"],
    "both.test": ["127.0.0.1", "::1"],
    "xn--bcher-kva.test": ["127.0.0.1"],
}


def addresses_of_tests(name: str, family: int) -> Sequence[str]:
    """Replaces getaddrinfo."""
    found = [
        address
        for address in NAMES.get(name, [])
        if family == socket.AF_UNSPEC or (":" in address) == (family == socket.AF_INET6)
    ]
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return found


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient(
        user_agent="tester/1.0",
        resolver=resolver_without_queue(addresses_of_tests),
        tls_contexts=TlsContexts(),
    )
    yield client
    await client.close()


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def ca_file(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(authority.write(tmp_path_factory.mktemp("authority") / "ca.pem"))


def in_time() -> float:
    """Return a deadline that is far away."""
    return time.monotonic() + 20


def soon() -> float:
    """Return a deadline for what never ends. A busy machine must reach that point before."""
    return time.monotonic() + 1.5


async def exchange(
    client: HttpClient, request: HttpRequest, *, deadline: float | None = None
) -> HttpExchange:
    outcome = await client.fetch(request, deadline=deadline or in_time())
    assert isinstance(outcome, HttpExchange), outcome
    return outcome


async def late_failure(client: HttpClient, request: HttpRequest, kind: FailureKind) -> HttpFailure:
    """Return the failure of an exchange that never ends, after the peer has become silent."""
    return await within_growing_limit(
        lambda limit_s: failure(client, request, deadline=time.monotonic() + limit_s),
        lambda seen: seen.kind is kind,
    )


async def failure(client: HttpClient, request: HttpRequest, *, deadline: float | None = None) -> HttpFailure:
    outcome: HttpOutcome = await client.fetch(request, deadline=deadline or in_time())
    assert isinstance(outcome, HttpFailure), outcome
    return outcome
