"""A page as JSON, for programs. Times are RFC 3339 in UTC, ratios are from 0 to 1."""

import json
from datetime import UTC, datetime

from monitord.model import Json
from monitord.public_pages.content import (
    PublicContent,
)

RATIO_DIGITS = 6


def json_of(content: PublicContent) -> bytes:
    """Return the document."""
    return json.dumps(document_of(content), separators=(",", ":"), ensure_ascii=False).encode()


def document_of(content: PublicContent) -> Json:
    """Return the document as a table."""
    return {
        "title": content.title,
        "description": content.description,
        "state": content.state.value,
        "uptime": _rounded(content.ratio),
        "updated_at": time_of(content.updated_at),
        "zone": content.zone,
        "first_day": content.first_day.isoformat(),
        "groups": [
            {
                "title": group.title,
                "state": group.state.value,
                "services": [
                    {
                        "id": service.id,
                        "title": service.title,
                        "state": service.state.value,
                        "uptime": _rounded(service.ratio),
                        "days": [_rounded(day.ratio) for day in service.days],
                    }
                    for service in group.services
                ],
            }
            for group in content.groups
        ],
        "incidents": [
            {
                "id": incident.id,
                "service": incident.service,
                "began_at": time_of(incident.began_at),
                "ended_at": None if incident.ended_at is None else time_of(incident.ended_at),
                "reason": incident.reason or None,
            }
            for incident in content.incidents
        ],
        "maintenance": [
            {
                "id": entry.id,
                "begins_at": time_of(entry.begins_at),
                "ends_at": None if entry.ends_at is None else time_of(entry.ends_at),
                "services": list(entry.services),
                "comment": entry.comment or None,
            }
            for entry in content.maintenance
        ],
        "posts": [
            {
                "id": post.id,
                "title": post.title,
                "status": post.updates[0].status.value,
                "created_at": time_of(post.created_at),
                "updated_at": time_of(post.updated_at),
                "updates": [
                    {"at": time_of(update.at), "status": update.status.value, "text": update.text}
                    for update in post.updates
                ],
            }
            for post in content.posts
        ],
    }


def time_of(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rounded(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio, RATIO_DIGITS)
