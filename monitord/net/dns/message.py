"""DNS messages, built and parsed by dnspython. No other module uses its objects.

dnspython is optional: import this module only where a query is sent.
"""

import struct
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename
import dns.rrset

from monitord.errors import InvalidValueError
from monitord.net.base.resolver import literal_address
from monitord.net.dns.cost import MAX_COST, cost_of

UDP_PAYLOAD_BYTES = 1232
"""The largest payload without fragmentation, as agreed on the DNS flag day 2020."""


@dataclass(frozen=True, slots=True)
class DnsMessage:
    """The content of a response, which can be an error response.

    - `answers`: the sorted data of the records of the requested type, at the end of the chain of CNAMEs.
    - `ttl_s`: the minimum TTL of these records and the chain; None without records.
    - `serial`: the serial of the zone if the answer is an SOA record.
    """

    rcode: str
    answers: tuple[str, ...]
    ttl_s: int | None
    serial: int | None
    is_authoritative: bool
    is_authenticated: bool


class DnsQuery:
    """A query with a random ID (RFC 5452, section 4.3) and EDNS."""

    def __init__(self, name: str, record_type: str, *, wants_recursion: bool) -> None:
        self._query = dns.message.make_query(name, record_type, use_edns=0, payload=UDP_PAYLOAD_BYTES)
        # AD in a query requests the flag in the response (RFC 6840, section 5.7).
        self._query.flags |= dns.flags.AD
        if not wants_recursion:
            self._query.flags &= ~dns.flags.RD
        self.number: int = self._query.id
        self.wire: bytes = self._query.to_wire()

    def read(self, wire: bytes) -> DnsMessage:
        """Parse a response. Raises ValueError("problem") if it is malformed or does not match the query."""
        if cost_of(wire) > MAX_COST:
            raise ValueError(
                f"the response of {len(wire)} bytes has too many records or too long names to be parsed"
            )
        try:
            message = dns.message.from_wire(wire)
            if message.rcode() != dns.rcode.NOERROR or not message.question:
                rrsets, ttl_s = [], None
            elif message.question[0].rdtype == dns.rdatatype.ANY:
                rrsets, ttl_s = message.answer, min((rrset.ttl for rrset in message.answer), default=None)
            elif not isinstance(message, dns.message.QueryMessage):
                rrsets, ttl_s = [], None
            else:
                chain = message.resolve_chaining()
                rrsets, ttl_s = ([], None) if chain.answer is None else ([chain.answer], chain.minimum_ttl)
            is_response = self._query.is_response(message)
        except dns.exception.DNSException as error:
            problem = str(error).strip().rstrip(".") or type(error).__name__
            problem = problem[:1].lower() + problem[1:]
            raise ValueError(f"the response cannot be parsed: {problem}") from None
        if not is_response:
            raise ValueError("the response is to another query")
        serials = [record.serial for rrset in rrsets if rrset.rdtype == dns.rdatatype.SOA for record in rrset]
        return DnsMessage(
            rcode=dns.rcode.to_text(message.rcode()),
            answers=tuple(sorted(record.to_text() for rrset in rrsets for record in rrset)),
            ttl_s=ttl_s,
            serial=serials[0] if serials else None,
            is_authoritative=bool(message.flags & dns.flags.AA),
            is_authenticated=bool(message.flags & dns.flags.AD),
        )


def parse_name(text: str) -> str:
    """Return the absolute name in punycode; "." is the root. Raises InvalidValueError."""
    hint = 'write a name such as "www.example.org"'
    try:
        name = dns.name.from_text(text.strip())
    except (dns.exception.DNSException, UnicodeError, struct.error):  # struct.error: an escape above 255
        raise InvalidValueError("is not a DNS name", hint) from None
    if name == dns.name.root and text.strip() != ".":  # "", or "@" of zone files
        raise InvalidValueError("is not a DNS name", f'{hint}, or "." for the root')
    return name.to_text()


def parse_record_type(text: str) -> str:
    """Return a record type such as "AAAA", or "TYPE65280" for a type without a name. Raises InvalidValueError."""
    try:
        kind = dns.rdatatype.from_text(text.strip())
    except (dns.exception.DNSException, ValueError):
        raise InvalidValueError(
            "is not a record type", 'write a type such as "A", "AAAA", "MX" or "TXT"'
        ) from None
    if kind == 0 or (dns.rdatatype.is_metatype(kind) and kind != dns.rdatatype.ANY):
        raise InvalidValueError(
            "is not a record type that can be queried", 'write a type such as "A" or "SOA"'
        )
    return dns.rdatatype.to_text(kind)


def reverse_name(address: str) -> str:
    """Return the name for PTR queries of an address ("1.2.0.192.in-addr.arpa."), or a name as `parse_name` does."""
    if literal_address(address.strip()) is None:
        return parse_name(address)
    return dns.reversename.from_address(address.strip().partition("%")[0]).to_text()
