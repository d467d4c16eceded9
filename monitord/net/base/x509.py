"""Parser for the main fields of a certificate in DER (RFC 5280, section 4.1).

Python's ssl decodes only the peer's certificate, and only if it was verified; the other certificates of a chain are
available as DER only. Nothing is verified here: OpenSSL does that.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from monitord.text import printable

MAX_CERTIFICATE_BYTES = 256 * 1024
MAX_CACHED_BYTES = 8 * 1024
MAX_NAMES = 1000
MAX_NAME_CHARACTERS = 512
MAX_CACHED_CERTIFICATES = 4096
"""The size of the cache of certificates up to MAX_CACHED_BYTES: a peer sends the same certificate each time."""

_SEQUENCE = 0x30
_OBJECT_ID = 0x06
_OCTET_STRING = 0x04
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_VERSION = 0xA0
_EXTENSIONS = 0xA3
_DNS_NAME = 0x82
_IP_ADDRESS = 0x87
_LONG_FORM = 0x80
_MAX_LENGTH_BYTES = 4
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")  # 2.5.29.17

_ATTRIBUTES = {  # RFC 4514, section 3, and other common ones
    bytes.fromhex("550403"): "CN",
    bytes.fromhex("550406"): "C",
    bytes.fromhex("550407"): "L",
    bytes.fromhex("550408"): "ST",
    bytes.fromhex("55040a"): "O",
    bytes.fromhex("55040b"): "OU",
    bytes.fromhex("2a864886f70d010901"): "emailAddress",
    bytes.fromhex("0992268993f22c640119"): "DC",
}
_BMP_STRING = 0x1E
_UNIVERSAL_STRING = 0x1C


@dataclass(frozen=True, slots=True)
class Certificate:
    """Fields of a certificate. Subject and issuer begin with the most specific part: "CN=R3, O=Let's Encrypt, C=US"."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime


def parse_certificate(der: bytes) -> Certificate:
    """Parse a certificate in DER. Raises only ValueError if the data is not a certificate."""
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise ValueError("is too large for a certificate")
    return _parse_cached(der) if len(der) <= MAX_CACHED_BYTES else _parse(der)


def _parse(der: bytes) -> Certificate:
    fields = list(_elements(_sequence(_sequence(der))))
    if fields and fields[0][0] == _VERSION:
        del fields[0]
    if len(fields) < 6:  # noqa: PLR2004 - serial, algorithm, issuer, validity, subject, key
        raise ValueError("is not a certificate: fields are missing")
    _, _, issuer, validity, subject, _, *rest = fields
    times = list(_elements(validity[1]))
    if len(times) != 2:  # noqa: PLR2004 - notBefore, notAfter
        raise ValueError("is not a certificate: it has no validity")
    return Certificate(
        subject=_name(subject[1]),
        issuer=_name(issuer[1]),
        names=tuple(_alternative_names(rest))[:MAX_NAMES],
        not_before=_time(*times[0]),
        not_after=_time(*times[1]),
    )


_parse_cached = lru_cache(maxsize=MAX_CACHED_CERTIFICATES)(_parse)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element (X.690, section 8.1). DER has definite lengths only. Raises ValueError."""
    position = 0
    while position < len(data):
        if position + 2 > len(data):
            raise ValueError("ends within an element")
        tag, length = data[position], data[position + 1]
        position += 2
        if length >= _LONG_FORM:
            count = length - _LONG_FORM
            if not 1 <= count <= _MAX_LENGTH_BYTES:
                raise ValueError("has an element without a definite length")
            length = int.from_bytes(data[position : position + count], "big")
            position += count
        if position + length > len(data):
            raise ValueError("ends within an element")
        yield tag, data[position : position + length]
        position += length


def _sequence(data: bytes) -> bytes:
    for tag, content in _elements(data):
        if tag != _SEQUENCE:
            break
        return content
    raise ValueError(f"is not a certificate: an element with the tag {_SEQUENCE:#x} was expected")


def _name(data: bytes) -> str:
    parts = []
    for _, pairs in _elements(data):
        for _, pair in _elements(pairs):
            (tag, key), (kind, value) = _pair(pair)
            if tag != _OBJECT_ID:
                raise ValueError("has a name without a type")
            parts.append(f"{_ATTRIBUTES.get(key, key.hex())}={_text(kind, value)}")
    return ", ".join(reversed(parts))[:MAX_NAME_CHARACTERS]


def _pair(data: bytes) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
    elements = list(_elements(data))
    if len(elements) < 2:  # noqa: PLR2004 - a pair
        raise ValueError("has an incomplete pair")
    return elements[0], elements[-1]


def _text(kind: int, value: bytes) -> str:
    encoding = {_BMP_STRING: "utf-16-be", _UNIVERSAL_STRING: "utf-32-be"}.get(kind, "utf-8")
    text = value.decode(encoding, "replace")
    # The content is untrusted and is logged: no line breaks, no terminal control characters.
    return printable(text)


def _alternative_names(rest: list[tuple[int, bytes]]) -> Iterator[str]:
    for tag, content in rest:
        if tag != _EXTENSIONS:
            continue
        for _, extension in _elements(_sequence(content)):
            (_, key), (kind, value) = _pair(extension)
            if key == _SUBJECT_ALT_NAME and kind == _OCTET_STRING:
                for form, name in _elements(_sequence(value)):
                    if form == _DNS_NAME:
                        yield _text(form, name)[:MAX_NAME_CHARACTERS]
                    elif form == _IP_ADDRESS:
                        yield str(ipaddress.ip_address(name))


def _time(kind: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if kind == _UTC_TIME:
        # RFC 5280, section 4.1.2.5.1: years from 50 on are in the twentieth century.
        text = ("19" if text[:2] >= "50" else "20") + text
    elif kind != _GENERALIZED_TIME:
        raise ValueError("has a time of an unknown type")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
