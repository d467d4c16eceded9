"""The keys of the type `tcp` that are about TLS, each against a peer for which it makes the difference."""

import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from monitord.model import Reason
from monitord.monitors.tcp import TcpMonitor
from monitord.settings import read_settings
from tests.certificates import Authority
from tests.servers import serve, serve_tls_once
from tests.stream_servers import END, Part
from tests.worlds import real_tools

Make = Callable[[str], TcpMonitor]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with real_tools() as tools:

        def make(keys: str) -> TcpMonitor:
            config = tmp_path / "monitord.toml"
            config.write_text(f'[monitors.one]\ntype = "tcp"\ntls = true\n{keys}\n')
            (settings,) = read_settings(config).monitors
            return TcpMonitor(settings, tools)

        yield make


async def test_min_tls_rejects_older_versions(make: Make, authority: Authority, tmp_path: Path) -> None:
    context = authority.issue("127.0.0.1", directory=tmp_path).server_context(maximum=ssl.TLSVersion.TLSv1_2)
    for min_tls_version, reason in (("1.2", Reason.OK), ("1.3", Reason.TLS_FAILED)):
        async with serve_tls_once(context) as port:
            seen = await make(
                f'address = "127.0.0.1:{port}"\nverify = false\nmin_tls_version = "{min_tls_version}"'
            ).check()
        assert seen.reason is reason


async def test_client_certificate_with_a_separate_key_is_used(
    make: Make, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    context = authority.issue("127.0.0.1", directory=tmp_path).server_context(maximum=ssl.TLSVersion.TLSv1_2)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca_file)
    own = authority.issue("me", directory=tmp_path, file="me")
    shown = f'client_certificate_file = "{own.chain_file}"\nclient_key_file = "{own.key_file}"'
    for keys, reason in (("", Reason.TLS_FAILED), (shown, Reason.OK)):
        async with serve_tls_once(context) as port:
            seen = await make(f'address = "127.0.0.1:{port}"\nverify = false\n{keys}').check()
        assert seen.reason is reason


async def test_certificate_is_verified_for_the_server_name(
    make: Make, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    context = authority.issue("mx.test", directory=tmp_path).server_context()
    async with serve(Part(END).play, tls=context) as server:
        keys = f'address = "127.0.0.1:{server.port}"\nca_file = "{ca_file}"'
        assert (await make(keys).check()).reason is Reason.TLS_NAME_MISMATCH
        assert (await make(f'{keys}\nserver_name = "mx.test"').check()).reason is Reason.OK
