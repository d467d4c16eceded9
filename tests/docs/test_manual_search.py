"""A search for the usual term of the field finds the right section of the manual pages."""

import re
from functools import cache
from pathlib import Path

import pytest

MANUAL = Path(__file__).parents[2] / "docs" / "man"
TOML, CONTROL, DAEMON = "monitord.toml.5", "monitorctl.1", "monitord.8"
MONITORS, NOTIFIERS = "monitord-monitors.5", "monitord-notifiers.5"

PLACES = {
    "notification": [
        (TOML, "[notifiers.NAME]"),
        (TOML, "[[alerts.routes]]"),
        (NOTIFIERS, "DESCRIPTION"),
        (CONTROL, "test-notifier"),
    ],
    "retry": [(TOML, "[monitors.NAME]"), (TOML, "[notifiers.NAME]")],
    "timeout": [(TOML, "[monitors.NAME]"), (TOML, "[notifiers.NAME]"), (NOTIFIERS, "DESCRIPTION")],
    "acknowledge": [(CONTROL, "ack"), (DAEMON, "SOCKET")],
    "downtime": [(TOML, "[maintenance.NAME]"), (TOML, "STATES"), (CONTROL, "silence")],
    "dependency": [(TOML, "[monitors.NAME]"), (CONTROL, "explain")],
    "escalation": [(TOML, "[[alerts.routes]]")],
    "webhook": [(NOTIFIERS, "Notifier webhook")],
    "recovery": [(TOML, "[monitors.NAME]"), (TOML, "[notifiers.NAME]"), (CONTROL, "ack")],
    "threshold": [
        (TOML, "[monitors.NAME]"),
        (TOML, "CONDITIONS"),
        (MONITORS, "Type memory: memory and swap space"),
        (MONITORS, "Type load: load averages and pressure"),
    ],
    "interval": [(TOML, "[monitors.NAME]"), (TOML, "[[alerts.routes]]")],
    "flapping": [(TOML, "[monitors.NAME]"), (TOML, "[notifiers.NAME]")],
    "exit code": [
        (MONITORS, "Type exec: plugins"),
        (NOTIFIERS, "Notifier exec"),
        (CONTROL, "EXIT STATUS"),
    ],
    "secret": [(TOML, "VALUES"), (TOML, "[monitors.NAME]"), (DAEMON, "SANDBOX")],
    "proxy": [
        (MONITORS, "Type http: web endpoints"),
        (NOTIFIERS, "HTTP options"),
        (TOML, "[status]"),
        (DAEMON, "TCP"),
    ],
    "certificate expiry": [
        (MONITORS, "Type tls: TLS handshakes and certificate expiry"),
        (MONITORS, "Type certificate: certificates in files"),
        (DAEMON, "METRICS"),
    ],
    "uptime": [(TOML, "[maintenance.NAME]"), (TOML, "STATES"), (CONTROL, "show"), (DAEMON, "SOCKET")],
}


@cache
def sections(page: str) -> dict[str, str]:
    """The text of each section, without macros and escapes, as a reader searches it."""
    text = (MANUAL / page).read_text()
    for escape, character in (("\\-", "-"), ("\\~", " "), ("\\|", ""), ("\\(dq", '"')):
        text = text.replace(escape, character)
    text = re.sub(r"\\f[A-Z]", "", text)
    _, *parts = re.split(r"^\.S[HS] (.+)$", text, flags=re.MULTILINE)
    return {
        title.strip('"'): " ".join(re.sub(r"^\.[A-Z]+ ?", "", body, flags=re.MULTILINE).split()).lower()
        for title, body in zip(parts[::2], parts[1::2], strict=True)
    }


@pytest.mark.parametrize(
    ("word", "page", "section"),
    [(word, page, section) for word, places in PLACES.items() for page, section in places],
)
def test_word_is_in_its_section(word: str, page: str, section: str) -> None:
    assert re.search(rf"\b{word}", sections(page)[section])


@pytest.mark.parametrize("word", PLACES)
def test_word_is_a_term_of_the_glossary(word: str) -> None:
    terms = re.findall(r"\*\*(.+?)\*\*", (MANUAL.parent / "glossary.md").read_text())
    assert any(word in term for term in terms)
