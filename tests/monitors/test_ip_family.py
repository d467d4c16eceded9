"""The key `ip_family` of each type that has it: an address of the selected family is used."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitord.monitors import MONITOR_TYPES, Tools, monitor_type
from monitord.net import Resolver
from monitord.settings import read_settings
from tests.servers import free_port
from tests.worlds import real_tools

KEYS = {
    "http": 'url = "http://both.test:PORT/"',
    "tcp": 'address = "both.test:PORT"',
    "tls": 'address = "both.test:PORT"',
    "websocket": 'url = "ws://both.test:PORT/"',
    "grpc": 'address = "both.test:PORT"',
    "redis": 'address = "both.test:PORT"',
    "mysql": 'address = "both.test:PORT"\nusername = "kim"',
    "postgresql": 'address = "both.test:PORT"\nusername = "kim"',
    "dns": 'name = "a.test"\nserver = "both.test"\nport = PORT',
    "icmp": 'host = "both.test"\ncount = 1',
}


def both_families(name: str, family: int) -> list[str]:
    """Return an address of the other family first, as a resolver without a filter may do."""
    found = {2: ["127.0.0.1"], 10: ["::1"]}
    return found.get(family, ["127.0.0.1", "::1"]) if name == "both.test" else []


@pytest.fixture
async def tools() -> AsyncIterator[Tools]:
    async with real_tools(Resolver(both_families)) as tools:
        yield tools


@pytest.mark.parametrize("type_name", KEYS)
@pytest.mark.parametrize(
    ("ip_family", "address"),
    [("4", "127.0.0.1"), ("6", "::1"), ('"any"', "127.0.0.1")],
    ids=["4", "6", "any"],
)
async def test_check_uses_an_address_of_the_configured_family(
    tmp_path: Path, tools: Tools, type_name: str, ip_family: str, address: str
) -> None:
    config = tmp_path / "monitord.toml"
    keys = KEYS[type_name].replace("PORT", str(free_port()))
    config.write_text(
        f'[monitors.one]\ntype = "{type_name}"\n{keys}\nip_family = {ip_family}\ntimeout = "20s"\n'
    )
    (settings,) = read_settings(config).monitors
    kind = monitor_type(type_name)
    assert kind is not None
    monitor = kind(settings, tools)
    seen = await monitor.check()
    await monitor.close()
    assert (seen.fields["address"], seen.fields["ip_version"]) == (address, 6 if ":" in address else 4)


def test_every_type_with_the_key_is_tested(tmp_path: Path) -> None:
    config = tmp_path / "monitord.toml"
    for name in set(MONITOR_TYPES) - set(KEYS):
        config.write_text(f'[monitors.one]\ntype = "{name}"\nip_family = 4\n')
        with pytest.raises(Exception, match="ip_family: unknown key"):
            read_settings(config)
