"""Responses of WHOIS servers (RFC 3912). No I/O.

The protocol defines neither a form nor a character set. Registries of generic top-level domains use that of ICANN; the
keys and dates of others are listed here. A response without a known key is not understood, and never evidence that a
domain is missing or expired.
"""

import re
from datetime import UTC, datetime
from typing import Final

from monitord.net.http.response import text_of
from monitord.net.registry.registration import (
    NotRegisteredError,
    Registration,
    RegistryError,
    listed,
    status_of,
)

MAX_LINES = 2000

# WHOIS servers of top-level domains that the RDAP bootstrap file does not list. For all others, whois.iana.org
# names the server.
SERVERS: Final = {
    **{name: f"whois.nic.{name}" for name in (*("ac", "af", "ag", "at", "ch", "ci", "cl", "co", "do"), "gl")},
    **{name: f"whois.nic.{name}" for name in (*("hu", "im", "io", "ir", "it", "kz", "la", "li", "lv"), "md")},
    **{name: f"whois.nic.{name}" for name in ("me", "mn", "sc", "sh", "so", "st", "tl", "tm", "us")},
    "ae": "whois.aeda.net.ae",
    "am": "whois.amnic.net",
    "be": "whois.dns.be",
    "bg": "whois.register.bg",
    "by": "whois.cctld.by",
    "cn": "whois.cnnic.cn",
    "de": "whois.denic.de",
    "dk": "whois.punktum.dk",
    "ee": "whois.tld.ee",
    "eu": "whois.eu",
    "gg": "whois.gg",
    "hk": "whois.hkirc.hk",
    "hr": "whois.dns.hr",
    "ie": "whois.weare.ie",
    "il": "whois.isoc.org.il",
    "je": "whois.je",
    "jp": "whois.jprs.jp",
    "kr": "whois.kr",
    "lt": "whois.domreg.lt",
    "lu": "whois.dns.lu",
    "mx": "whois.mx",
    "my": "whois.mynic.my",
    "nu": "whois.iis.nu",
    "nz": "whois.irs.net.nz",
    "pt": "whois.dns.pt",
    "ro": "whois.rotld.ro",
    "rs": "whois.rnids.rs",
    "ru": "whois.tcinet.ru",
    "se": "whois.iis.se",
    "sk": "whois.sk-nic.sk",
    "su": "whois.tcinet.ru",
    "tr": "whois.trabis.gov.tr",
}

_EXPIRY: Final = frozenset(
    {
        *("registry expiry date", "registrar registration expiration date", "expiry date", "expiration date"),
        *("expiration time", "expire date", "expires on", "expires", "expire", "expiry", "paid-till"),
        *("valid until", "validity", "renewal date", "domain expires", "exp date"),
    }
)
_REGISTRAR: Final = frozenset(
    {"registrar", "registrar name", "sponsoring registrar", "registrar organization"}
)
_STATUS: Final = frozenset({"domain status", "status", "state", "eppstatus"})
_NAMESERVER: Final = frozenset(
    {"name server", "nserver", "nameserver", "nameservers", "name servers", "host name"}
)
_KNOWN = _EXPIRY | _REGISTRAR | _STATUS | _NAMESERVER | {"domain", "domain name"}

_LINE = re.compile(r"(?:[a-z]\. )?\[?(?P<key>[A-Za-z][A-Za-z /_.-]{0,50}?)[ .]*(?:\]|:)\s*(?P<value>\S.*)?")
_MISSING = re.compile(
    r"^\W*(?:no match|not found|no data found|no entries found|no object found|domain not found|nothing found|"
    r"the queried object does not exist|no such domain|no information available|status:\s*(?:free|available)|"
    r"domain status: (?:no object found|available|free)|domain name not known|object does not exist|"
    r"domain .{0,253} (?:not found|is free|is available|has not been registered)|no matching record|"
    r"the domain has not been registered)",
    re.IGNORECASE | re.MULTILINE,
)
_LIMITED = re.compile(
    r"(?:quer(?:y|ies)|request|connection|lookup|access)\s.{0,40}(?:limit|quota|exceeded|denied|blocked|refused)|"
    r"(?:limit|quota)\s.{0,20}exceeded|too many (?:requests|queries|connections)|try again later|"
    r"blacklisted|rate.?limit",
    re.IGNORECASE,
)
_MONTHS = "janfebmaraprmayjunjulaugsepoctnovdec"
_YEAR_FIRST = re.compile(r"(\d{4})[-./ ]{1,2}(\d{1,2})[-./ ]{1,2}(\d{1,2})")
_DAY_FIRST = re.compile(r"(\d{1,2})[-./](\d{1,2})[-./](\d{4})")
_NAMED_MONTH = re.compile(
    r"(?P<first>\d{4}|\d{1,2})[- ](?P<month>[A-Za-z]{3})[a-z]*[-. ]{1,2}(?P<last>\d{4}|\d{1,2})\b"
)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:\d{6})?\b")
_CONNECTED_UNTIL = re.compile(r"Connected \((\d{4}/\d{2}/\d{2})\)")  # .jp: "[State]  Connected (2026/03/31)"


def query_of(domain: str, server: str) -> bytes:
    """Return the query for a domain. Some servers need an option to respond in English, or about domains alone."""
    match server:
        case "whois.denic.de":
            query = f"-T dn,ace {domain}"
        case "whois.punktum.dk":
            query = f"--show-handles {domain}"
        case "whois.jprs.jp":
            query = f"{domain}/e"
        case _:
            query = domain
    return f"{query}\r\n".encode()


def referral(response: bytes) -> str | None:
    """Return the server in the response of IANA for a top-level domain."""
    match = re.search(r"^(?:whois|refer):\s*([a-z0-9.-]{1,253})\s*$", text_of(response), re.MULTILINE)
    return match[1] if match else None


_USE_RDAP = 'write server = "https://…" if the registry has RDAP'


def parse_domain(response: bytes, domain: str, server: str) -> Registration:
    """Return the registration in a response of the server. Raises NotRegisteredError and RegistryError."""
    text = text_of(response)
    pairs = _pairs(text)
    if not any(key in _KNOWN - {"domain", "domain name"} for key, _ in pairs):
        if _LIMITED.search(text):
            raise RegistryError("the server limits queries")
        if _MISSING.search(text):
            raise NotRegisteredError
        raise RegistryError(f"the WHOIS response of {server} has an unknown format; {_USE_RDAP}")
    if _MISSING.search(text) and not any(key in _EXPIRY | _NAMESERVER for key, _ in pairs):
        raise NotRegisteredError
    if domain not in text.lower():
        raise RegistryError(f"the WHOIS response of {server} is about another domain; {_USE_RDAP}")
    statuses = [value for key, value in pairs if key in _STATUS]
    connected = next(filter(None, (_CONNECTED_UNTIL.search(value) for value in statuses)), None)
    dates = [value for key, value in pairs if key in _EXPIRY]
    if connected is not None:
        dates.append(connected[1])
    expires_at = next(filter(None, map(parse_date, dates)), None)
    if dates and expires_at is None:
        date = dates[0][:40]
        raise RegistryError(f"the expiry date {date!a} of {server} has an unknown format; {_USE_RDAP}")
    dnssec = next((value.lower() for key, value in pairs if key == "dnssec"), None)
    return Registration(
        expires_at=expires_at,
        registrar=next((value for key, value in pairs if key in _REGISTRAR), "")[:200],
        # "clientHold https://icann.org/epp#clientHold", "REGISTERED, DELEGATED, VERIFIED"
        statuses=listed(
            [
                status_of(part)
                for value in statuses
                for part in re.sub(r"\(?https?://\S+|\(.*", "", value).split(",")
            ]
        ),
        nameservers=listed(
            [value.split()[0].lower().rstrip(".") for key, value in pairs if key in _NAMESERVER and value]
        ),
        has_dnssec=None if dnssec is None else dnssec.startswith(("signed", "yes", "active")),
    )


def parse_date(text: str) -> datetime | None:
    """Return the date in UTC. A date without a time is the beginning of that day, the earliest possible time."""
    text = text.strip()[:60]
    try:
        moment = datetime.fromisoformat(text.removesuffix(" UTC"))
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    year = month = day = 0
    if match := _YEAR_FIRST.match(text) or _COMPACT.match(text):
        year, month, day = map(int, match.groups())
    elif match := _DAY_FIRST.match(text):
        day, month, year = map(int, match.groups())
    elif match := _NAMED_MONTH.search(text):
        month = _MONTHS.find(match["month"].lower()) // 3 + 1
        first, last = match["first"], match["last"]
        year, day = map(int, (first, last) if len(first) > len(last) else (last, first))
    try:
        return datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return None


def _pairs(text: str) -> list[tuple[str, str]]:
    """Return keys in lower case with their values. A value in the lines below its key belongs to it as well.

    "Organization" below the heading "Registrar" is the registrar.
    """
    pairs: list[tuple[str, str]] = []
    open_key = heading = ""
    for line in text.splitlines()[:MAX_LINES]:
        stripped = line.strip()
        if stripped.startswith(("%", "#", ">>>", "*")):
            continue
        match = _LINE.match(stripped)
        if match is not None and (match["value"] or stripped.endswith((":", "]"))):
            key = match["key"].strip().lower()
            if (heading, key) == ("registrar", "organization"):
                key = heading
            open_key = "" if match["value"] else key
            if match["value"]:
                pairs.append((key, match["value"].strip()))
        elif stripped and open_key:
            pairs.append((open_key, stripped))
        elif stripped:
            heading = stripped.lower()
            open_key = heading if heading in _NAMESERVER else ""
        else:
            open_key = heading = ""
    return pairs
