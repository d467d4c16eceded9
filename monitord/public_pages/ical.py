"""The planned and current maintenance of a page as a calendar (RFC 5545), in UTC, with permanent UIDs."""

from datetime import UTC, datetime

from monitord.public_pages.content import PublicContent
from monitord.public_pages.html import PageTexts

MAX_LINE_BYTES = 75
"""RFC 5545, section 3.1: without the line break."""


def ical_of(content: PublicContent) -> bytes:
    """Return the calendar in UTF-8."""
    texts = PageTexts(content)
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//monitord//status page//EN",
        f"X-WR-CALNAME:{_escaped(content.title)}",
    ]
    for entry in content.maintenance:
        summary = f"{texts.words.maintenance}: {texts.affected(entry)}"
        lines += [
            "BEGIN:VEVENT",
            f"UID:{entry.id}",
            f"DTSTAMP:{_utc(content.updated_at)}",
            f"DTSTART:{_utc(entry.begins_at)}",
            # Without an end, an event ends when it begins (section 3.6.1).
            *([] if entry.ends_at is None else [f"DTEND:{_utc(entry.ends_at)}"]),
            f"SUMMARY:{_escaped(summary)}",
            *([f"DESCRIPTION:{_escaped(entry.comment)}"] if entry.comment else []),
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ]
    return b"".join(_folded(line) for line in [*lines, "END:VCALENDAR"])


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _escaped(text: str) -> str:
    """Escape a TEXT value (section 3.3.11), without control characters."""
    plain = "".join(character for character in text if character.isprintable() or character == "\n")
    for sign in ("\\", ";", ","):
        plain = plain.replace(sign, f"\\{sign}")
    return plain.replace("\n", "\\n")


def _folded(line: str) -> bytes:
    """Return a line in UTF-8, folded between characters (section 3.1)."""
    parts: list[bytes] = []
    part = b""
    for character in line:
        encoded = character.encode()
        # The space that begins a continuation counts.
        if len(part) + len(encoded) + bool(parts) > MAX_LINE_BYTES:
            parts.append(part)
            part = b""
        part += encoded
    return b"\r\n ".join([*parts, part]) + b"\r\n"
