"""Responses of WHOIS servers in the forms of registries."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.net.registry.registration import NotRegisteredError, RegistryError
from monitord.net.registry.whois import parse_date, parse_domain, query_of, referral
from tests.net.registry import responses

SERVER = "whois.example.net"


@pytest.mark.parametrize(
    ("response", "domain", "expires", "registrar", "statuses"),
    [
        pytest.param(responses.ICANN, "example.io", "2026-07-01T10:40:05", "Example Registrar Inc.",
                     ("clientTransferProhibited", "clientHold"), id="io"),
        pytest.param(responses.SWEDEN, "example.se", "2026-12-30", "Registrar AB", ("active", "ok"), id="se"),
        pytest.param(responses.RUSSIA, "example.ru", "2026-10-31T21:00:00", "EXAMPLE-RU",
                     ("registered", "delegated", "verified"), id="ru"),
        pytest.param(responses.ITALY, "example.it", "2026-04-20", "Registrar s.r.l.", ("ok",), id="it"),
        pytest.param(responses.JAPAN, "example.jp", "2026-05-31", "", ("active",), id="jp"),
        pytest.param(responses.JAPAN_CO, "example.co.jp", "2026-03-31", "", ("connected",), id="co.jp"),
        pytest.param(responses.TURKEY, "example.com.tr", "2026-08-22", "", ("active",), id="tr"),
        pytest.param(responses.CHINA, "example.cn", "2026-03-17T12:48:36", "Example Registrar Ltd.",
                     ("clientTransferProhibited",), id="cn"),
        pytest.param(responses.KOREA, "example.kr", "2026-04-14", "", (), id="kr"),
        pytest.param(responses.GERMANY, "example.de", None, "", ("connect",), id="de"),
    ],
)  # fmt: skip
def test_registration_is_read(
    response: bytes, domain: str, expires: str | None, registrar: str, statuses: tuple[str, ...]
) -> None:
    found = parse_domain(response, domain, SERVER)
    assert found.expires_at == (
        None if expires is None else datetime.fromisoformat(expires).replace(tzinfo=UTC)
    )
    assert (found.statuses, "ns1.example.net" in found.nameservers) == (statuses, domain != "example.com.tr")
    assert found.registrar == registrar


@pytest.mark.parametrize("response", responses.WHOIS_NOT_FOUND.values(), ids=responses.WHOIS_NOT_FOUND)
def test_missing_domain_is_recognized(response: bytes) -> None:
    with pytest.raises(NotRegisteredError):
        parse_domain(response, "example.it", SERVER)


@pytest.mark.parametrize(
    "response",
    [
        *responses.WHOIS_LIMITED.values(),
        b"hello\r\n",
        b"\xff\xfe\x00",
        b"Domain Name: other.io\nRegistry Expiry Date: 2026-07-01T10:40:05Z\n",
        b"Domain Name: example.it\nRegistry Expiry Date: soon\n",
        b"Domain Name: example.it\nRegistry Expiry Date: 31/13/2026\n",
        b"Domain: example.it\n",
    ],
)
def test_unusable_responses_raise_a_registry_error(response: bytes) -> None:
    with pytest.raises(RegistryError, match=f"{SERVER}.*; write|limits queries"):
        parse_domain(response, "example.it", SERVER)


@given(st.binary(max_size=2000))
def test_any_response_is_parsed_or_rejected(response: bytes) -> None:
    with suppress(NotRegisteredError, RegistryError):
        parse_domain(response, "example.it", SERVER)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "2026-03-31",
            "2026-03-31T00:00:00Z",
            "2026-03-31T02:00:00+02:00",
            "2026-03-31 00:00:00",
            "2026/03/31",
        ),
        *(
            "2026. 03. 31.",
            "31.03.2026",
            "31-03-2026",
            "31/03/2026",
            "31-Mar-2026",
            "2026-Mar-31.",
            "31 March 2026",
        ),
        *("20260331", "2026.03.31 00:00:00", "2026-03-31 00:00:00 UTC", "2026-03-31T00:00:00.0Z"),
    ],
)
def test_dates_of_registries_are_parsed(text: str) -> None:
    assert parse_date(text) == datetime(2026, 3, 31, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "never", "03/31/2026", "2026-02-30", "31-Foo-2026", "9" * 50])
def test_invalid_dates_are_none(text: str) -> None:
    assert parse_date(text) is None


def test_queries_have_the_form_that_servers_expect() -> None:
    assert query_of("example.de", "whois.denic.de") == b"-T dn,ace example.de\r\n"
    assert query_of("example.io", "whois.nic.io") == b"example.io\r\n"


def test_server_of_a_registry_is_found_in_the_response_of_iana() -> None:
    assert referral(responses.IANA) == "127.0.0.1"
    assert referral(b"domain: TEST\nstatus: ACTIVE\n") is None
