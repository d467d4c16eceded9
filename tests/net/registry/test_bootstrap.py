"""The bootstrap registry: the packaged file, and others."""

import json
from pathlib import Path

import pytest

from monitord.net.registry.bootstrap import PACKAGED, BootstrapError, rdap_server
from monitord.net.registry.rdap import parse_domain
from monitord.net.registry.registration import status_of
from tests.net.registry import responses


@pytest.mark.parametrize(
    ("domain", "server"),
    [
        ("example.com", "https://rdap.verisign.com/com/v1/"),
        ("example.org", "https://rdap.publicinterestregistry.org/rdap/"),
        ("example.co.uk", "https://rdap.nominet.uk/uk/"),
        ("example.de", None),
        ("example.invalid", None),
    ],
)
def test_packaged_file_names_the_servers_of_registries(domain: str, server: str | None) -> None:
    assert rdap_server(domain) == server


def test_packaged_file_has_the_content_of_iana() -> None:
    document = json.loads(PACKAGED.read_bytes())
    assert document["description"] == "RDAP bootstrap file for Domain Name System registrations"
    assert document["publication"] >= "2026-07-23"
    assert sum(len(names) for names, _ in document["services"]) > 1000


def test_longest_name_and_https_are_preferred(tmp_path: Path) -> None:
    file = tmp_path / "dns.json"
    services = [
        [["test"], ["http://b.test/rdap", "https://a.test/rdap"]],
        [["co.test"], ["https://c.test/"]],
        [["plain"], ["http://d.test"]],
        [["other"], ["ftp://e.test/"]],
    ]
    file.write_text(json.dumps({"version": "1.0", "services": services}))
    found = [rdap_server(name, str(file)) for name in ("x.test", "x.co.test", "x.plain", "x.other")]
    assert found == ["https://a.test/rdap/", "https://c.test/", "http://d.test/", None]


@pytest.mark.parametrize("text", ["", "[]", '{"services": 5}', '{"services": [["a"]]}', "[" * 10_000])
def test_invalid_files_are_rejected(tmp_path: Path, text: str) -> None:
    file = tmp_path / "dns.json"
    file.write_text(text)
    with pytest.raises(BootstrapError, match="is not a bootstrap registry"):
        rdap_server("example.org", str(file))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", responses.NOT_FOUND, b'{"objectClassName":"entity"}', b"[" * 100_000],
)
def test_rdap_response_without_a_domain_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"domain|Expecting|nested"):
        parse_domain(body)


def test_damaged_parts_of_an_rdap_response_are_skipped() -> None:
    body = responses.rdap(
        events=[5, {"eventAction": "expiration", "eventDate": "soon"}],
        entities=[{"roles": ["registrar"], "vcardArray": ["vcard", [["fn"], 5]], "handle": "7"}],
        status=[1, "client hold"],
        nameservers=5,
        secureDNS=[],
    )
    found = parse_domain(body)
    assert (found.expires_at, found.registrar, found.statuses) == (None, "7", ("clientHold",))
    assert (found.nameservers, found.has_dnssec) == ((), None)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("client hold", "clientHold"),
        ("clientHold", "clientHold"),
        ("active", "active"),
        ("Redemption Period", "redemptionPeriod"),
        ("", ""),
    ],
)
def test_statuses_have_the_form_of_epp(text: str, status: str) -> None:
    assert status_of(text) == status


def test_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "dns.json"
    for server in ("https://a.test/", "https://b.test/"):
        new = tmp_path / "new.json"
        new.write_text(json.dumps({"services": [[["test"], [server]]]}))
        new.replace(file)
        assert rdap_server("x.test", str(file)) == server


def test_date_beyond_the_last_year_in_utc_is_not_a_date() -> None:
    body = json.dumps(
        {
            "objectClassName": "domain",
            "events": [{"eventAction": "expiration", "eventDate": "9999-12-31T23:59:59-01:00"}],
        }
    )
    assert parse_domain(body.encode()).expires_at is None
