"""Responses of RDAP servers (RFC 9083). No I/O."""

import json
from datetime import UTC, datetime
from typing import Any

from monitord.net.registry.registration import Registration, listed, status_of

MAX_NAME_CHARACTERS = 200


def parse_domain(body: bytes) -> Registration:
    """Return the registration of a response with status 200. Raises ValueError if it describes no domain."""
    try:
        document = json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(document, dict) or document.get("objectClassName") != "domain":
        raise ValueError("the response does not describe a domain")
    secure = document.get("secureDNS")
    is_signed = secure.get("delegationSigned") if isinstance(secure, dict) else None
    return Registration(
        expires_at=_expiration(document),
        registrar=_registrar(document),
        statuses=listed([status_of(text) for text in _texts(document.get("status"))]),
        nameservers=listed(
            [
                str(server.get("ldhName", "")).lower().rstrip(".")
                for server in _dicts(document.get("nameservers"))
            ]
        ),
        has_dnssec=is_signed if isinstance(is_signed, bool) else None,
    )


def _expiration(document: dict[str, Any]) -> datetime | None:
    """Return the date of the event "expiration": not that of "registrar expiration", which registrars may postpone."""
    for event in _dicts(document.get("events")):
        date = event.get("eventDate")
        if event.get("eventAction") == "expiration" and isinstance(date, str):
            try:
                moment = datetime.fromisoformat(date.strip()[:40])
                return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
            except (ValueError, OverflowError):
                continue
    return None


def _registrar(document: dict[str, Any]) -> str:
    """Return the formatted name of the entity with the role "registrar" (RFC 7095, jCard)."""
    for entity in _dicts(document.get("entities")):
        if "registrar" not in _texts(entity.get("roles")):
            continue
        card = entity.get("vcardArray")
        properties = card[1] if isinstance(card, list) and len(card) > 1 else []
        for item in properties if isinstance(properties, list) else []:
            if isinstance(item, list) and len(item) > 3 and item[0] == "fn" and isinstance(item[3], str):  # noqa: PLR2004
                return item[3][:MAX_NAME_CHARACTERS]
        return str(entity.get("handle", ""))[:MAX_NAME_CHARACTERS]
    return ""


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
