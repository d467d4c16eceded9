"""The registration of a domain, as the registry publishes it."""

import re
from dataclasses import dataclass
from datetime import datetime

MAX_LISTED = 64
"""Statuses and name servers that are kept; EPP allows 11 statuses, and registries 13 name servers."""
MAX_TEXT_CHARACTERS = 200

_WORD = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Registration:
    """`statuses`: in the form of EPP ("clientHold", RFC 5731). `expires_at` None: the registry publishes no date."""

    expires_at: datetime | None = None
    registrar: str = ""
    statuses: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    has_dnssec: bool | None = None


class NotRegisteredError(Exception):
    """The registry responds that there is no such domain."""


class RegistryError(Exception):
    """The registry cannot be queried now. `retry_after_s`: the time that it demands before the next query."""

    def __init__(self, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


def status_of(text: str) -> str:
    """Return a status of RDAP or WHOIS in the form of EPP (RFC 8056): "client hold" becomes "clientHold"."""
    words: list[str] = _WORD.findall(text) or [""]
    first, *others = words
    if first.isupper():
        first = first.lower()
    return first[:1].lower() + first[1:] + "".join(word[:1].upper() + word[1:] for word in others)


def listed(values: list[str]) -> tuple[str, ...]:
    """Return the first different values that are not empty."""
    return tuple(dict.fromkeys(value[:MAX_TEXT_CHARACTERS] for value in values if value))[:MAX_LISTED]
