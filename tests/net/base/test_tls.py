"""Contexts by options, and the fields of a handshake with a real peer."""

import asyncio
import os
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.net import HttpClient, HttpRequest, TlsContexts, TlsOptions, make_context
from monitord.net.base.tls import MAX_CONTEXTS, trust_authorities
from tests.certificates import DAY, Authority
from tests.net.conftest import exchange
from tests.servers import respond, serve


async def certificate_of(client: HttpClient, port: int, tls: TlsOptions, *, want: bool = True) -> object:
    request = HttpRequest(url=f"https://one.test:{port}/", tls=tls, want_certificate=want)
    seen = await exchange(client, request)
    assert seen.tls is not None
    return seen.tls.certificate


def near(moment: datetime, days: float) -> bool:
    return abs(moment - datetime.now(UTC) - days * DAY) < timedelta(minutes=5)


async def test_version_cipher_and_certificate_are_reported(
    client: HttpClient, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    issued = authority.issue("one.test", directory=tmp_path)
    async with serve(respond(), tls=issued.server_context()) as server:
        request = HttpRequest(
            url=f"https://one.test:{server.port}/", tls=TlsOptions(ca_file=ca_file), want_certificate=True
        )
        seen = (await exchange(client, request)).tls
    assert seen is not None
    assert (seen.version, seen.cipher) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    assert seen.certificate is not None
    assert (seen.certificate.subject, seen.certificate.issuer) == (
        "CN=one.test, O=Tests",
        "CN=Test Root, O=Tests",
    )
    assert (seen.certificate.names, seen.certificate.chain_length) == (("one.test",), 2)
    assert near(seen.certificate.expires_at, 90)


@pytest.mark.parametrize(
    ("root_days", "between_days", "own_days", "earliest"),
    [(300, 200, 100, 100), (300, 50, 100, 50), (20, 200, 100, 20)],
    ids=["own", "between", "root"],
)
async def test_earliest_expiry_in_the_chain_is_reported(
    client: HttpClient, tmp_path: Path, root_days: int, between_days: int, own_days: int, earliest: int
) -> None:
    root = Authority(days=root_days)
    between = Authority("Between", parent=root, days=between_days)
    issued = between.issue("one.test", directory=tmp_path, valid_until=own_days * DAY)
    ca_file = str(root.write(tmp_path / "ca.pem"))
    async with serve(respond(), tls=issued.server_context()) as server:
        seen = await certificate_of(client, server.port, TlsOptions(ca_file=ca_file))
    assert seen is not None
    assert seen.chain_length == 3  # type: ignore[attr-defined]  # checked for None above
    assert near(seen.expires_at, earliest)  # type: ignore[attr-defined]  # as above


async def test_certificates_outside_the_verified_chain_are_ignored(
    client: HttpClient, tmp_path: Path
) -> None:
    """A server may send more than the chain that is verified, such as an old cross-signed authority."""
    root = Authority()
    stale = Authority("Stale", days=-0.5)
    issued = root.issue("one.test", directory=tmp_path)
    issued.chain_file.write_bytes(issued.chain_file.read_bytes() + stale.pem)
    ca_file = str(root.write(tmp_path / "ca.pem"))
    async with serve(respond(), tls=issued.server_context()) as server:
        seen = await certificate_of(client, server.port, TlsOptions(ca_file=ca_file))
    assert near(seen.expires_at, 90)  # type: ignore[attr-defined]  # None fails as well


async def test_without_verification_only_the_peers_certificate_is_reported(
    client: HttpClient, tmp_path: Path
) -> None:
    issued = Authority(days=10).issue("other.test", directory=tmp_path)
    async with serve(respond(), tls=issued.server_context()) as server:
        seen = await certificate_of(client, server.port, TlsOptions(verify=False))
    assert near(seen.expires_at, 90)  # type: ignore[attr-defined]  # None fails as well
    assert (seen.names, seen.chain_length) == (("other.test",), 1)  # type: ignore[attr-defined]  # as above


async def test_certificate_is_read_only_if_requested(
    client: HttpClient, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    issued = authority.issue("one.test", directory=tmp_path)
    async with serve(respond(), tls=issued.server_context()) as server:
        assert await certificate_of(client, server.port, TlsOptions(ca_file=ca_file), want=False) is None


def test_equal_options_share_a_context(ca_file: str) -> None:
    contexts = TlsContexts()
    assert contexts.get(TlsOptions(ca_file=ca_file)) is contexts.get(TlsOptions(ca_file=ca_file))
    assert contexts.get(TlsOptions(ca_file=ca_file)) is not contexts.get(TlsOptions(verify=False))


def test_changed_file_creates_a_new_context(authority: Authority, tmp_path: Path) -> None:
    contexts = TlsContexts()
    options = TlsOptions(ca_file=str(authority.write(tmp_path / "ca.pem")))
    before = contexts.get(options)
    Authority("Other").write(tmp_path / "ca.pem")
    os.utime(tmp_path / "ca.pem", (1, 1))
    assert contexts.get(options) is not before


def test_unusable_new_file_keeps_the_cached_context(authority: Authority, tmp_path: Path) -> None:
    contexts = TlsContexts()
    options = TlsOptions(ca_file=str(authority.write(tmp_path / "ca.pem")))
    before = contexts.get(options)
    (tmp_path / "ca.pem").write_text("half a file")
    assert contexts.get(options) is before
    (tmp_path / "ca.pem").unlink()
    assert contexts.get(options) is before


def test_number_of_contexts_is_limited(authority: Authority, tmp_path: Path) -> None:
    contexts = TlsContexts()
    first = TlsOptions(verify=False, ca_file="0")
    before = contexts.get(first)
    for number in range(1, MAX_CONTEXTS + 1):
        contexts.get(TlsOptions(verify=False, ca_file=str(number)))
    assert contexts.get(first) is not before


def hashed_name(file: str) -> str:
    """Return the name that openssl-rehash(1) gives a certificate."""
    asked = ["openssl", "x509", "-hash", "-noout", "-in", file]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() + ".0"


@pytest.mark.parametrize("kind", ["bundle", "directory", "neither"])
async def test_authorities_are_trusted_from_a_bundle_and_from_a_hashed_directory(
    authority: Authority, ca_file: str, tmp_path: Path, kind: str
) -> None:
    (tmp_path / hashed_name(ca_file)).write_bytes(authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust_authorities(
        context, ca_file if kind == "bundle" else None, str(tmp_path) if kind == "directory" else None
    )
    issued = authority.issue("one.test", directory=tmp_path)
    async with serve(respond(), tls=issued.server_context()) as server:
        connecting = asyncio.open_connection(
            "127.0.0.1", server.port, ssl=context, server_hostname="one.test"
        )
        if kind == "neither":
            with pytest.raises(ssl.SSLCertVerificationError):
                await connecting
        else:
            _, writer = await connecting
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SSL_CERT_DIR": "{}/hashed"}, (None, "{}/hashed")),
        ({"SSL_CERT_DIR": "{}/plain", "SSL_CERT_FILE": "{}/ca.pem"}, ("{}/ca.pem", None)),
        ({"SSL_CERT_DIR": "{}/hashed", "SSL_CERT_FILE": "{}/ca.pem"}, ("{}/ca.pem", "{}/hashed")),
        ({"SSL_CERT_DIR": "{}/missing", "SSL_CERT_FILE": "{}/missing.pem"}, (None, None)),
    ],
    ids=["directory", "bundle", "both", "none"],
)
def test_system_authorities_are_found(
    tmp_path: Path, environment: dict[str, str], expected: tuple[str | None, str | None]
) -> None:
    for name in ("hashed/0123abcd.0", "hashed/x.pem", "plain/x.pem", "ca.pem"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    found = subprocess.run(
        [sys.executable, "-c", "from monitord.net.base import tls; print(tls._system_authorities())"],
        env={name: value.format(tmp_path) for name, value in environment.items()},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert found.strip() == str(tuple(path and path.format(tmp_path) for path in expected))


def test_unusable_files_are_reported(authority: Authority, tmp_path: Path) -> None:
    issued = authority.issue("a", directory=tmp_path, file="a")
    other = authority.issue("b", directory=tmp_path, file="b")
    locked = authority.issue("c", directory=tmp_path, file="c", passphrase=b"secret")
    (tmp_path / "text.pem").write_text("no certificate")
    missing = str(tmp_path / "missing.pem")
    pair = (
        "and its key are not a matching pair in PEM format without a passphrase; "
        "write the certificate and its own key, without a passphrase"
    )
    for options, problem in (
        (
            TlsOptions(ca_file=missing),
            f"{missing} cannot be read: No such file or directory; write the path of a readable PEM file",
        ),
        (
            TlsOptions(ca_file=str(tmp_path / "text.pem")),
            f"{tmp_path}/text.pem does not contain certificates in PEM format; "
            "write the path of a file with authorities in PEM format",
        ),
        (
            TlsOptions(certificate_file=missing),
            f"{missing} cannot be read: No such file or directory; write the path of a readable PEM file",
        ),
        (
            TlsOptions(certificate_file=str(issued.chain_file), key_file=str(other.key_file)),
            f"{issued.chain_file} {pair}",
        ),
        (
            TlsOptions(certificate_file=str(locked.chain_file), key_file=str(locked.key_file)),
            f"{locked.chain_file} {pair}",
        ),
    ):
        with pytest.raises(ValueError, match=r".") as raised:
            make_context(options)
        assert str(raised.value) == problem
        with pytest.raises(ValueError, match=r"."):
            TlsContexts().get(options)
