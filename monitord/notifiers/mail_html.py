"""The HTML part of emails: the same content as the text, with the colour of the state and links.

Styles are inline and the layout is a table, as email clients support little else. Nothing is loaded from elsewhere, and
text from monitored services is escaped.
"""

import re
from html import escape

from monitord.notifiers.cards import Colour, colour_of
from monitord.notifiers.notification import EXCERPT_LABEL, Message, Paragraph

GREY = Colour.GREY.value

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
    title, colour = paragraph.notification.title, colour_of(paragraph.notification).value
    actions = paragraph.notification.context.action_links
    lines = "".join(
        '<p style="margin:4px 0;overflow-wrap:anywhere">' + escape(line).replace("\n", "<br>") + "</p>"
        for line in paragraph.lines
    )
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left;vertical-align:top;font-weight:normal;color:{GREY};'
        f'padding:2px 16px 2px 0">{escape(label)}</th>'
        f'<td style="padding:2px 0;overflow-wrap:anywhere">{_value(label, value)}</td></tr>'
        for label, value in paragraph.facts
        if (label, value) not in actions
    )
    table = f'<table style="border-collapse:collapse;margin:8px 0">{rows}</table>' if rows else ""
    # Their targets are pages: opening them, as scanners of mail do, changes nothing.
    buttons = "".join(
        f'<a href="{escape(url)}" style="display:inline-block;border:1px solid {GREY};border-radius:6px;'
        f'line-height:1.4;padding:6px 14px;margin:0 8px 0 0;text-decoration:none">{escape(label)}</a>'
        for label, url in paragraph.facts
        if (label, url) in actions
    )
    if buttons:
        buttons = f'<p style="margin:12px 0 4px;line-height:2.6">{buttons}</p>'
    return (
        f'<div style="border-left:4px solid {colour};padding:0 0 0 12px;margin:0 0 20px">'
        f'<h2 style="font-size:18px;margin:0 0 4px;color:{colour}">{escape(title)}</h2>'
        f"{lines}{table}{buttons}</div>"
    )


def _value(label: str, value: str) -> str:
    if label == EXCERPT_LABEL:
        return f'<pre style="margin:0;white-space:pre-wrap;font:13px/1.4 monospace">{escape(value)}</pre>'
    if _WEB_ADDRESS.fullmatch(value):
        return f'<a href="{escape(value)}">{escape(value)}</a>'
    return escape(value)
