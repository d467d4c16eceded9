"""DNS messages, built and parsed without a server."""

from contextlib import suppress

import dns.flags
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.net.dns.cost import DATA_LABEL_COST, MAX_COST, cost_of
from monitord.net.dns.message import DnsMessage, DnsQuery, parse_name, parse_record_type, reverse_name
from tests.dns_servers import response

SOA = "example.test. 60 SOA ns.example.test. admin.example.test. 2026112201 3600 600 86400 60"


def parsed(name: str, record_type: str, *records: str, rcode: str = "NOERROR", flags: int = 0) -> DnsMessage:
    query = DnsQuery(name, record_type, wants_recursion=True)
    return query.read(response(query.wire, *records, rcode=rcode, flags=flags))


def test_query_sets_the_ad_flag_always_and_recursion_if_requested() -> None:
    asked = dns.message.from_wire(DnsQuery("a.test.", "AAAA", wants_recursion=True).wire)
    assert asked.flags & dns.flags.RD
    assert asked.flags & dns.flags.AD
    assert (asked.edns, asked.payload) == (0, 1232)
    assert asked.question[0].to_text() == "a.test. IN AAAA"
    asked = dns.message.from_wire(DnsQuery("a.test.", "A", wants_recursion=False).wire)
    assert not asked.flags & dns.flags.RD


def test_queries_have_random_ids() -> None:
    assert len({DnsQuery("a.test.", "A", wants_recursion=True).number for _ in range(50)}) > 40


def test_answers_are_sorted_to_be_independent_of_round_robin() -> None:
    message = parsed("a.test.", "A", "a.test. 60 A 192.0.2.2", "a.test. 60 A 192.0.2.1")
    assert message.answers == ("192.0.2.1", "192.0.2.2")


def test_cname_chain_is_followed_and_has_the_minimum_ttl() -> None:
    records = ["a.test. 30 CNAME b.test.", "b.test. 60 A 192.0.2.1", "c.test. 1 A 192.0.2.9"]
    message = parsed("a.test.", "A", *records)
    assert (message.answers, message.ttl_s) == (("192.0.2.1",), 30)


def test_cname_chain_without_a_final_record_has_no_answers() -> None:
    message = parsed("a.test.", "A", "a.test. 30 CNAME b.test.")
    assert (message.rcode, message.answers, message.ttl_s) == ("NOERROR", (), None)


def test_records_of_another_name_are_ignored() -> None:
    assert parsed("a.test.", "A", "b.test. 30 A 192.0.2.1").answers == ()


def test_serial_of_a_zone_is_read() -> None:
    assert parsed("example.test.", "SOA", SOA).serial == 2026112201
    assert parsed("a.test.", "A", "a.test. 60 A 192.0.2.1").serial is None


def test_query_for_any_returns_all_records() -> None:
    message = parsed("example.test.", "ANY", "example.test. 9 A 192.0.2.1", 'example.test. 5 TXT "x"')
    assert (message.answers, message.ttl_s) == (('"x"', "192.0.2.1"), 5)


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "SERVFAIL", "REFUSED"])
def test_rejected_response_has_no_answers(rcode: str) -> None:
    message = parsed("a.test.", "A", "a.test. 30 CNAME b.test.", rcode=rcode)
    assert (message.rcode, message.answers) == (rcode, ())


@pytest.mark.parametrize("flag", [dns.flags.AA, dns.flags.AD])
def test_flags_are_read(flag: int) -> None:
    message = parsed("a.test.", "A", "a.test. 60 A 192.0.2.1", flags=flag)
    assert (message.is_authoritative, message.is_authenticated) == (
        flag == dns.flags.AA,
        flag == dns.flags.AD,
    )


@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_are_parsed_or_rejected(noise: bytes, begins_well: bool) -> None:
    query = DnsQuery("a.test.", "A", wants_recursion=True)
    good = response(query.wire, "a.test. 60 A 192.0.2.1")
    with suppress(ValueError):
        query.read(good[: len(good) // 2] + noise if begins_well else noise)


@given(st.data())
def test_response_with_a_wrong_byte_is_parsed_or_rejected(data: st.DataObject) -> None:
    query = DnsQuery("example.test.", "SOA", wants_recursion=True)
    wire = bytearray(response(query.wire, SOA))
    wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        query.read(bytes(wire))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("www.example.org", "www.example.org."),
        (" www.example.org. ", "www.example.org."),
        ("bücher.example", "xn--bcher-kva.example."),
        ("_dmarc.example.org", "_dmarc.example.org."),
        ("*.example.org", "*.example.org."),
        (".", "."),
    ],
)
def test_name_becomes_absolute(text: str, name: str) -> None:
    assert parse_name(text) == name


@pytest.mark.parametrize(
    "text", ["", " ", "@", "a..b", "x" * 64 + ".test", ".".join(["abcdefgh"] * 40), "\\300.test"]
)
def test_invalid_dns_name_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="is not a DNS name; write"):
        parse_name(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("192.0.2.1", "1.2.0.192.in-addr.arpa."),
        ("2001:db8::1", "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa."),
        ("1.2.0.192.in-addr.arpa", "1.2.0.192.in-addr.arpa."),
    ],
)
def test_address_becomes_its_reverse_name(text: str, name: str) -> None:
    assert reverse_name(text) == name


@pytest.mark.parametrize(
    ("text", "kind"), [("a", "A"), ("AAAA", "AAAA"), ("TYPE65280", "TYPE65280"), ("any", "ANY")]
)
def test_record_type_is_parsed(text: str, kind: str) -> None:
    assert parse_record_type(text) == kind


@pytest.mark.parametrize("text", ["AA", "", "AXFR", "OPT", "TYPE99999", "TYPE0"])
def test_record_type_that_cannot_be_queried_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"record type.*; write a type such as"):
        parse_record_type(text)


# Messages that are small and take long to read

LONG_NAME = "a." * 119


def with_names(count: int) -> bytes:
    """MX records of different long names, which differ in their first label."""
    query = DnsQuery("a.test.", "MX", wants_recursion=True)
    records = [f"a.test. 60 MX {number} n{number}.{LONG_NAME}" for number in range(count)]
    return query.wire[:2] + response(query.wire, *records)[2:]


def read_by_its_query(record_type: str, *records: str) -> DnsMessage:
    return parsed("a.test.", record_type, *records)


def test_compressed_names_are_counted_in_full() -> None:
    few, many = with_names(20), with_names(200)
    assert len(many) < 5000
    assert cost_of(few) < MAX_COST < cost_of(many)
    with pytest.raises(
        ValueError, match=r"of [0-9]+ bytes has too many records or too long names to be parsed"
    ):
        read_by_its_query("MX", *(f"a.test. 60 MX {n} n{n}.{LONG_NAME}" for n in range(200)))


@pytest.mark.parametrize(
    "records",
    [
        [f"a.test. 60 A 10.0.{n // 256}.{n % 256}" for n in range(1000)],
        [f"a.test. 60 MX {n} mail-{n}.eu.example.org." for n in range(300)],
        [f"a.test. 60 SRV 0 {n} 443 host-{n}.eu.example.org." for n in range(300)],
        [f"a.test. 60 TXT {' '.join(['x' * 250] * 80)}"],
        [f"a.test. 60 CAA 0 issue ca-{n}.example.org" for n in range(100)],
    ],
    ids=["A", "MX", "SRV", "TXT", "CAA"],
)
def test_large_responses_are_parsed(records: list[str]) -> None:
    assert len(read_by_its_query(records[0].split()[2], *records).answers) == len(records)


@pytest.mark.parametrize(
    "record",
    [
        "NS {name}", "CNAME {name}", "SOA {name} {name} 1 2 3 4 5", "PTR {name}", "MX 1 {name}", "RP {name} {name}",
        "SRV 1 2 3 {name}", 'NAPTR 1 2 "S" "x" "" {name}', "DNAME {name}", "HTTPS 1 {name}", "NSEC {name} A",
        "AFSDB 1 {name}", "KX 1 {name}", "PX 1 {name} {name}",
        "RRSIG A 8 2 60 20260101000000 20250101000000 1 {name} aGVsbG8=",
    ],
)  # fmt: skip
def test_every_name_in_the_data_of_a_record_counts(record: str) -> None:
    query = DnsQuery("a.test.", "A", wants_recursion=True)
    without = cost_of(response(query.wire, f"a.test. 60 {record.format(name='.')}"))
    with_name = cost_of(response(query.wire, f"a.test. 60 {record.format(name=LONG_NAME)}"))
    assert with_name >= without + record.count("{name}") * 119 * DATA_LABEL_COST


@given(st.binary(max_size=300))
def test_cost_of_any_bytes_can_be_estimated(wire: bytes) -> None:
    assert cost_of(wire) >= 0


def test_name_that_refers_to_itself_does_not_loop() -> None:
    header = DnsQuery("a.test.", "A", wants_recursion=True).wire[:4] + b"\0\1\0\0\0\0\0\0"
    assert 0 <= cost_of(header + b"\xc0\x0c\0\1\0\1") < MAX_COST
