"""Facts of certificates, compared with what python3-cryptography reads in the same bytes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.net.base.x509 import parse_certificate
from tests.certificates import DAY, Authority


def make(
    *attributes: tuple[x509.ObjectIdentifier, str],
    names: tuple[x509.GeneralName, ...] = (),
    until: datetime = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(kind, value) for kind, value in attributes])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(1999, 12, 31, tzinfo=UTC))
        .not_valid_after(until)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_fields_of_a_certificate_are_parsed(authority: Authority, tmp_path: Path) -> None:
    issued = authority.issue("one.test", "*.one.test", "192.0.2.7", "2001:db8::7", directory=tmp_path)
    seen = parse_certificate(issued.certificate.public_bytes(Encoding.DER))
    assert (seen.subject, seen.issuer) == ("CN=one.test, O=Tests", "CN=Test Root, O=Tests")
    assert seen.names == ("one.test", "*.one.test", "192.0.2.7", "2001:db8::7")
    assert seen.not_after - seen.not_before == 91 * DAY
    assert abs(seen.not_after - datetime.now(UTC) - 90 * DAY) < timedelta(minutes=5)


@pytest.mark.parametrize("year", [2030, 2049, 2050, 2999])
def test_both_kinds_of_time_are_read(year: int) -> None:
    """RFC 5280: two digits for the year until 2049, four from 2050."""
    until = datetime(year, 1, 2, 3, 4, 5, tzinfo=UTC)
    seen = parse_certificate(make((NameOID.COMMON_NAME, "x"), until=until))
    assert seen.not_after == until
    assert seen.not_before == datetime(1999, 12, 31, tzinfo=UTC)


def test_certificate_without_names_has_none() -> None:
    assert parse_certificate(make((NameOID.COMMON_NAME, "x"))).names == ()


def test_unknown_attribute_is_shown_by_its_number() -> None:
    seen = parse_certificate(make((NameOID.SERIAL_NUMBER, "7"), (NameOID.COMMON_NAME, "Ünï")))
    assert seen.subject == "CN=Ünï, 550405=7"


def test_control_characters_and_line_breaks_are_removed() -> None:
    assert parse_certificate(make((NameOID.COMMON_NAME, "a\nb\x1b[31m"))).subject == "CN=a\ufffdb\ufffd[31m"


def test_other_types_of_names_are_ignored() -> None:
    names = (
        x509.RFC822Name("a@b.test"),
        x509.DNSName("b.test"),
        x509.UniformResourceIdentifier("http://b.test"),
    )
    assert parse_certificate(make((NameOID.COMMON_NAME, "x"), names=names)).names == ("b.test",)


WHOLE = make((NameOID.COMMON_NAME, "x"), names=(x509.DNSName("x.test"),))


@given(st.binary(max_size=300))
def test_random_bytes_are_rejected(noise: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_certificate(noise)


@settings(max_examples=500)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4), st.integers(0, 4))
def test_damaged_certificate_raises_only_value_error(place: int, noise: bytes, gone: int) -> None:
    try:
        parse_certificate(WHOLE[:place] + noise + WHOLE[place + gone :])
    except ValueError:
        return


def test_too_large_certificate_is_rejected() -> None:
    with pytest.raises(ValueError, match="too large"):
        parse_certificate(bytes(300_000))


def test_large_certificate_is_read() -> None:
    names = tuple(x509.DNSName(f"{n}.example.test") for n in range(1200))
    seen = parse_certificate(make((NameOID.COMMON_NAME, "x"), names=names))
    assert seen.names[:2] == ("0.example.test", "1.example.test")
    assert len(seen.names) == 1000
