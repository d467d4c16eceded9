"""The HTML part of mails: the same content as the text, with the colour of the state and links.

Styles are inline and the layout is a table, as mail programs support little else. Nothing is loaded from elsewhere, and
text from monitored services is escaped.
"""

import re
from html import escape

from monitord.model import State
from monitord.notifiers.notification import (
    EXCERPT_LABEL,
    Message,
    Notification,
    NotificationKind,
    Paragraph,
)

# Readable on white and on black, as mail programs choose the background.
GREY = "#737373"
COLOURS = {
    State.DOWN: "#d1332a",
    State.DEGRADED: "#a86a00",
    State.UP: "#1f8a41",
}

_WEB_ADDRESS = re.compile(r"https?://\S+")


def html_of(message: Message) -> str:
    """Return an HTML document without scripts, images and style sheets."""
    paragraphs = "".join(map(_section, message.paragraphs))
    closing = "".join(
        f'<p style="color:{GREY};margin:8px 0">{escape(line)}</p>' for line in message.closing_lines
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(message.subject)}</title></head>"
        '<body style="margin:0;padding:16px;font:15px/1.5 sans-serif">'
        f'<div style="max-width:640px">{paragraphs}{closing}</div></body></html>\n'
    )


def _section(paragraph: Paragraph) -> str:
    notification = paragraph.notification
    lines = "".join(
        f'<p style="margin:4px 0;overflow-wrap:anywhere">{_with_breaks(line)}</p>' for line in paragraph.lines
    )
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left;vertical-align:top;font-weight:normal;color:{GREY};'
        f'padding:2px 16px 2px 0">{escape(label)}</th>'
        f'<td style="padding:2px 0;overflow-wrap:anywhere">{_value(label, value)}</td></tr>'
        for label, value in paragraph.facts
    )
    table = f'<table style="border-collapse:collapse;margin:8px 0">{rows}</table>' if rows else ""
    return (
        f'<div style="border-left:4px solid {_colour(notification)};padding:0 0 0 12px;margin:0 0 20px">'
        f'<h2 style="font-size:18px;margin:0 0 4px;color:{_colour(notification)}">{escape(notification.title)}</h2>'
        f"{lines}{table}</div>"
    )


def _colour(notification: Notification) -> str:
    if notification.kind in {NotificationKind.TEST, NotificationKind.CLOSED}:
        return GREY
    return COLOURS.get(notification.state, GREY)


def _value(label: str, value: str) -> str:
    if label == EXCERPT_LABEL:
        return f'<pre style="margin:0;white-space:pre-wrap;font:13px/1.4 monospace">{escape(value)}</pre>'
    if _WEB_ADDRESS.fullmatch(value):
        return f'<a href="{escape(value)}">{escape(value)}</a>'
    return escape(value)


def _with_breaks(text: str) -> str:
    return escape(text).replace("\n", "<br>")
