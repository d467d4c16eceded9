"""Badges: small SVG images of a label and a value, for other web pages."""

from html import escape

from monitord.text import shortened

BADGE_COLOURS = {
    "good": "#0b7a5e",
    "fair": "#8a6100",
    "bad": "#b3261e",
    "odd": "#6247b5",
    "none": "#5b6570",
}
BADGE_HEIGHT, BADGE_PAD = 20, 7
NARROW, WIDE = frozenset("ijl.,:;|!'()[]ftI 1"), frozenset("mwMW%@")
LONGEST_BADGE = 64
"""Characters of each half of a badge."""


def badge(label: str, value: str, tone: str) -> str:
    """Return a badge of label and value, for other web pages. `tone`: good, fair, bad, odd or none."""
    label, value = shortened(label, LONGEST_BADGE), shortened(value, LONGEST_BADGE)
    left, right = _text_width(label) + 2 * BADGE_PAD, _text_width(value) + 2 * BADGE_PAD
    description = escape(f"{label}: {value}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{BADGE_HEIGHT}" '
        f'viewBox="0 0 {left + right} {BADGE_HEIGHT}" role="img" aria-label="{description}">'
        f"<title>{description}</title>"
        f'<clipPath id="r"><rect width="{left + right}" height="{BADGE_HEIGHT}" rx="4"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="{BADGE_HEIGHT}" fill="#30363d"/>'
        f'<rect x="{left}" width="{right}" height="{BADGE_HEIGHT}" fill="{BADGE_COLOURS[tone]}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{left / 2:g}" y="14" textLength="{left - 2 * BADGE_PAD}">{escape(label)}</text>'
        f'<text x="{left + right / 2:g}" y="14" textLength="{right - 2 * BADGE_PAD}">{escape(value)}</text>'
        "</g></svg>"
    )


def _text_width(text: str) -> int:
    """Return the approximate width in Verdana of 11 pixels; `textLength` adjusts the text to it."""
    return round(sum(4.2 if letter in NARROW else 10.5 if letter in WIDE else 7.0 for letter in text)) or 1
