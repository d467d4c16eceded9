"""The Atom feed of a page (RFC 4287): its incidents and posts, with permanent ids and relative links."""

from datetime import UTC, datetime
from xml.sax.saxutils import escape, quoteattr

from monitord.public_pages.build import page_uuid
from monitord.public_pages.content import PublicContent
from monitord.public_pages.document import time_of
from monitord.public_pages.html import PageTexts

MAX_ENTRIES = 50


def atom_of(content: PublicContent) -> bytes:
    """Return the feed in UTF-8. Its time is that of its newest entry, so that it does not change without one."""
    texts = PageTexts(content)
    dated_entries: list[tuple[datetime, str]] = []  # the time of the last change of each entry, and the entry
    for incident in content.incidents:
        lines = [texts.incident_time(incident)]
        if incident.reason:
            lines.append(f"{texts.words.reason}: {incident.reason}")
        changed_at = incident.ended_at or incident.began_at
        title = texts.words.incident.format(service=incident.title)
        text = "\n".join(lines)
        entry = _entry(incident.id, title, incident.began_at, changed_at, "incidents", text)
        dated_entries.append((changed_at, entry))
    for post in content.posts:
        text = "\n\n".join(
            f"{texts.words.posts[update.status.value]} ({texts.moment(update.at)})\n{update.text}"
            for update in post.updates
        )
        entry = _entry(post.id, post.title, post.created_at, post.updated_at, post.id, text)
        dated_entries.append((post.updated_at, entry))
    entries = sorted(dated_entries, reverse=True, key=lambda entry: entry[0])[:MAX_ENTRIES]
    updated_at = entries[0][0] if entries else datetime.combine(content.first_day, datetime.min.time(), UTC)
    subtitle = f"<subtitle>{_text(content.description)}</subtitle>" if content.description else ""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<feed xmlns="http://www.w3.org/2005/Atom" xml:lang={quoteattr(texts.locale.tag)}>'
        f"<id>urn:uuid:{page_uuid(content.name)}</id>"
        f"<title>{_text(content.title)}</title>{subtitle}"
        f"<updated>{time_of(updated_at)}</updated>"
        f"<author><name>{_text(content.title)}</name></author>"
        '<link rel="self" type="application/atom+xml" href="feed.atom"/>'
        '<link rel="alternate" type="text/html" href="./"/>'
        f"{''.join(text for _, text in entries)}</feed>\n"
    ).encode()


def _entry(
    entry_id: str, title: str, published_at: datetime, updated_at: datetime, anchor: str, text: str
) -> str:
    return (
        f"<entry><id>urn:uuid:{entry_id}</id><title>{_text(title)}</title>"
        f"<published>{time_of(published_at)}</published><updated>{time_of(updated_at)}</updated>"
        f'<link rel="alternate" type="text/html" href="./#{anchor}"/>'
        f'<content type="text">{_text(text)}</content></entry>'
    )


def _text(text: str) -> str:
    """Return a text as XML, without the characters that XML 1.0 does not permit."""
    return escape("".join(character for character in text if character.isprintable() or character == "\n"))
