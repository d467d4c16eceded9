"""Messages of the DNS, made and read by dnspython; the rest of the program never sees its objects.

dnspython need not be installed: whoever imports this module does so where a question is to be asked.
"""

import struct
from collections.abc import Sequence
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
"""What fits into any packet without being cut in pieces, as agreed on the DNS flag day of 2020."""


@dataclass(frozen=True, slots=True)
class DnsMessage:
    """What a server said, whatever it means.

    - `answers`: the data of the records of the type asked for, at the end of the chain of CNAMEs, sorted.
    - `ttl_s`: the least of all records that led there; None without one.
    - `serial`: of the zone, when its SOA record is the answer.
    """

    rcode: str
    answers: tuple[str, ...]
    ttl_s: int | None
    serial: int | None
    is_authoritative: bool
    is_authenticated: bool


class DnsQuery:
    """A question with a number of its own (RFC 5452, section 4.3), and EDNS."""

    def __init__(self, name: str, record_type: str, *, wants_recursion: bool) -> None:
        self._query = dns.message.make_query(name, record_type, use_edns=0, payload=UDP_PAYLOAD_BYTES)
        # AD in a question says that the flag is understood in the answer (RFC 6840, section 5.7).
        self._query.flags |= dns.flags.AD
        if not wants_recursion:
            self._query.flags &= ~dns.flags.RD
        self.number: int = self._query.id
        self.wire: bytes = self._query.to_wire()

    def read(self, wire: bytes) -> DnsMessage:
        """What was answered. Raises ValueError("problem") for what is no answer to this question."""
        if cost_of(wire) > MAX_COST:
            raise ValueError(
                f"the answer of {len(wire)} bytes has too many records or too long names to be read"
            )
        try:
            message = dns.message.from_wire(wire)
            found, ttl_s = _records(message)
            is_probe_error = self._query.is_response(message)
        except dns.exception.DNSException as error:
            raise ValueError(f"the answer cannot be read: {_sentence(error)}") from None
        if not is_probe_error:
            raise ValueError("the answer is to another question")
        serials = [record.serial for rrset in found if rrset.rdtype == dns.rdatatype.SOA for record in rrset]
        return DnsMessage(
            rcode=dns.rcode.to_text(message.rcode()),
            answers=tuple(sorted(record.to_text() for rrset in found for record in rrset)),
            ttl_s=ttl_s,
            serial=serials[0] if serials else None,
            is_authoritative=bool(message.flags & dns.flags.AA),
            is_authenticated=bool(message.flags & dns.flags.AD),
        )


def _records(message: dns.message.Message) -> tuple[Sequence[dns.rrset.RRset], int | None]:
    """The records that answer the question, and the least TTL of what led to them."""
    if message.rcode() != dns.rcode.NOERROR or not message.question:
        return [], None
    if message.question[0].rdtype == dns.rdatatype.ANY:
        return message.answer, min((rrset.ttl for rrset in message.answer), default=None)
    if not isinstance(message, dns.message.QueryMessage):
        return [], None
    chain = message.resolve_chaining()
    return ([], None) if chain.answer is None else ([chain.answer], chain.minimum_ttl)


def _sentence(error: dns.exception.DNSException) -> str:
    text = str(error).strip().rstrip(".") or type(error).__name__
    return text[:1].lower() + text[1:]


def parse_name(text: str) -> str:
    """The name as it is asked for: absolute, in punycode. Raises InvalidValueError."""
    try:
        return dns.name.from_text(text.strip()).to_text()
    except (dns.exception.DNSException, UnicodeError, struct.error):  # the last: an escape that is no byte
        raise InvalidValueError("is not a name in the DNS", 'write one such as "www.example.org"') from None


def parse_record_type(text: str) -> str:
    """ "AAAA", or "TYPE65280" for one without a name. Raises InvalidValueError."""
    try:
        kind = dns.rdatatype.from_text(text.strip())
    except (dns.exception.DNSException, ValueError):
        raise InvalidValueError(
            "is not a type of record", 'write one such as "A", "AAAA", "MX" or "TXT"'
        ) from None
    if kind == 0 or (dns.rdatatype.is_metatype(kind) and kind != dns.rdatatype.ANY):
        raise InvalidValueError(
            "is no type of record that can be asked for", 'write one such as "A" or "SOA"'
        )
    return dns.rdatatype.to_text(kind)


def reverse_name(address: str) -> str:
    """ "1.2.0.192.in-addr.arpa." for an address, for questions of type PTR; a name stays one, as in `parse_name`."""
    if literal_address(address.strip()) is None:
        return parse_name(address)
    return dns.reversename.from_address(address.strip().partition("%")[0]).to_text()
