"""A check of each type that resolves a name while names that hang occupy all threads: never a failure of its host."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from monitord.clock import SystemClock
from monitord.dispatch.judging import judge
from monitord.model import Reason, Verdict
from monitord.monitors import Tools, monitor_type
from monitord.net import HttpClient, Resolver, TlsContexts
from monitord.net.base.resolver import Lane
from monitord.settings import read_settings

BOUND_S = 10

KEYS = {
    "http": 'url = "http://live.test/"',
    "https": 'url = "https://live.test/"',
    "http-all-addresses": 'url = "http://live.test/"\nall_addresses = true',
    "http-proxy": 'url = "http://192.0.2.1/"\nproxy = "http://live.test:3128"',
    "tcp": 'type = "tcp"\naddress = "live.test:1"',
    "tls": 'type = "tls"\naddress = "live.test:1"',
    "dns": 'type = "dns"\nname = "a.test"\nserver = "live.test"',
    "dns-tls": 'type = "dns"\nname = "a.test"\nserver = "live.test"\nprotocol = "tls"',
    "icmp": 'type = "icmp"\nhost = "live.test"\ncount = 1',
}


class HangingNames:
    """A getaddrinfo that answers no name before `release`."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def __call__(self, name: str, family: int) -> Sequence[str]:
        self.release.wait(BOUND_S)
        return ["127.0.0.1"]


@pytest.fixture
async def tools() -> AsyncIterator[Tools]:
    names = HangingNames()
    resolver, contexts = Resolver(names), TlsContexts()
    http = HttpClient(user_agent="t", resolver=resolver, tls_contexts=contexts)
    hanging = [asyncio.create_task(resolver.resolve(f"dead{n}.test")) for n in range(Lane.NEW.value)]
    await asyncio.sleep(0)
    yield Tools(SystemClock(), http, resolver, contexts)
    names.release.set()
    await asyncio.gather(*hanging)
    await http.close()


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
async def test_check_that_waited_for_a_look_up_thread_is_inconclusive(
    tmp_path: Path, tools: Tools, keys: str
) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text(f'[monitors.one]\n{keys}\ntimeout = "100ms"\n')
    (settings,) = read_settings(config).monitors
    kind = monitor_type(settings.type_name)
    assert kind is not None
    monitor = kind(settings, tools)
    result = judge(await monitor.check(), settings, None)
    await monitor.close()
    assert (result.verdict, result.observation.reason) == (Verdict.INCONCLUSIVE, Reason.PROBER_EXHAUSTED)
    assert " s for a resolver thread" in result.observation.detail
