"""A certificate without subjectAltName, whose common name is the name of the server: each type refuses it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitord.model import Reason
from monitord.monitors import Tools, monitor_type
from monitord.net import Resolver
from monitord.settings import read_settings
from tests.certificates import Authority
from tests.servers import send_raw, serve
from tests.worlds import real_tools

KEYS = {
    "http": 'url = "https://name.test:PORT/"',
    "tls": 'type = "tls"\naddress = "name.test:PORT"',
    "tcp": 'type = "tcp"\naddress = "name.test:PORT"\ntls = true',
    "dns": 'type = "dns"\nname = "a.test"\nserver = "name.test"\nport = PORT\nprotocol = "tls"',
}


@pytest.fixture
async def tools() -> AsyncIterator[Tools]:
    async with real_tools(Resolver(lambda _name, _family: ["127.0.0.1"])) as tools:
        yield tools


async def reason_of(
    tmp_path: Path, tools: Tools, authority: Authority, keys: str, *, has_alternative_names: bool
) -> tuple[Reason, str]:
    issued = authority.issue("name.test", directory=tmp_path, has_alternative_names=has_alternative_names)
    ca_file = authority.write(tmp_path / "ca.pem")
    async with serve(send_raw(), tls=issued.server_context()) as server:
        config = tmp_path / "monitord.toml"
        written = keys.replace("PORT", str(server.port))
        config.write_text(f'[monitors.one]\n{written}\nca_file = "{ca_file}"\n')
        (settings,) = read_settings(config).monitors
        kind = monitor_type(settings.type_name)
        assert kind is not None
        monitor = kind(settings, tools)
        seen = await monitor.check()
        await monitor.close()
    return seen.reason, seen.detail


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
async def test_common_name_alone_is_a_name_mismatch(
    tmp_path: Path, tools: Tools, authority: Authority, keys: str
) -> None:
    reason, detail = await reason_of(tmp_path, tools, authority, keys, has_alternative_names=False)
    assert reason is Reason.TLS_NAME_MISMATCH
    assert "has no subjectAltName, and its common name is ignored (RFC 9525)" in detail


@pytest.mark.parametrize("type_name", ["http", "tls", "tcp"])
async def test_same_name_in_the_subject_alternative_names_matches(
    tmp_path: Path, tools: Tools, authority: Authority, type_name: str
) -> None:
    reason, _ = await reason_of(tmp_path, tools, authority, KEYS[type_name], has_alternative_names=True)
    assert reason is not Reason.TLS_NAME_MISMATCH
