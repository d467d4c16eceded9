"""Keys and values in messages: quoted as in TOML, and shortened if they are long.

Messages are published in the journal and with a rejected reload, and a value may be a secret that was written in the
wrong place. Therefore values of keys for secrets are not shown, and text that looks like a secret is masked in other
values.
"""

import re
from datetime import date, time

from monitord.text import MAX_SHOWN_CHARACTERS, shortened, unicode_escape

MAX_EXAMINED_CHARACTERS = 1000
MAX_DECIMAL_BITS = 4096

Path = tuple[str | int, ...]

_BARE_KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_SHOWN_CHARACTERS}}}")
# Sections whose tables have names chosen by the user.
_SECTIONS_OF_NAMES = frozenset({"monitors", "notifiers", "maintenance"})
_FOR_SECRETS = re.compile(
    r"token|secret|passw|pass$|bearer|auth|credential|cookie|api_?key|routing_key|proxy"
    r"|^(headers|environment|form|body|json|send)$",
    re.IGNORECASE,
)
_FORMS_OF_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, flags), replacement)
    for pattern, replacement, flags in (
        (r"-----BEGIN [\s\S]*", "***", 0),
        (r"(?<=://)[^/@\s]*@", "***@", 0),
        (r"(?<![^\s\"'=])[^\s/@:\"']+:[^\s@/]+@(?=[^\s@])", "***@", 0),
        (r"^([A-Za-z][^\s:/]*:)(?!\d+$)[^\s:/@]{6,}$", r"\1***", 0),
        (
            r"(header\(\s*['\"][^'\"]*(?:token|auth|cookie|secret|key)[^'\"]*['\"]\s*\)[^'\"]*)['\"].*",
            r"\1***",
            re.IGNORECASE,
        ),
        # The path of a webhook is its password.
        (r"(://[^/?#\s]+)[/?#][^\s\"']{6,}", r"\1/…", 0),
        (r"^([\w-]+(?:\.[\w-]+)+(?::\d+)?)/\S{8,}", r"\1/…", 0),
        (r"\b(Bearer|Basic|Digest|Negotiate|AUTH|PASS|LOGIN)(\s+)\S.*", r"\1\2***", re.IGNORECASE),
        (
            r"((?:token|secret|password|passwd|passphrase|pass|pwd|api[_-]?key|auth|authorization|credential|cookie"
            r"|session)[\"']?\s*[=:]\s*)\S.*",
            r"\1***",
            re.IGNORECASE,
        ),
        (r"\b(?:xox[a-z]-|gh[a-z]_|github_pat_|glpat-|sk-|AKIA|eyJ)[\w.-]{8,}", "***", 0),
        (r"\b(?=[A-Za-z+=]*\d)(?=[\d+=]*[A-Za-z])[A-Za-z0-9+=]{20,}", "***", 0),
    )
)
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def key_text(path: Path) -> str:
    """Return the text of a path: alerts.routes[0]."a b" for ("alerts", "routes", 0, "a b")."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE_KEY.fullmatch(part) else _quoted(part))
    return text


def is_for_secrets(path: Path) -> bool:
    """Return whether the key or a surrounding table holds secrets."""
    parts = path
    if path[:2] == ("status", "tokens"):
        parts = path[3:]
    elif len(path) > 2 and path[0] in _SECTIONS_OF_NAMES:  # noqa: PLR2004
        parts = path[:1] + path[2:]
    return any(isinstance(part, str) and _FOR_SECRETS.search(part) for part in parts)


def subject_text(path: Path, value: object) -> str:
    """Return the value and a space, as the subject of a message; empty for a key that holds secrets."""
    is_hidden = not isinstance(value, (dict, bool)) and is_for_secrets(path)
    return "" if is_hidden else f"{value_text(value)} "


def value_text(value: object) -> str:
    """Return the value as TOML on one line. Values in a table are not shown: they may be secrets."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int):
        if isinstance(value, bool):
            return "true" if value else "false"
        # Python does not convert integers of more than 4,300 digits to decimal.
        return shortened(str(value) if value.bit_length() < MAX_DECIMAL_BITS else hex(value))
    if isinstance(value, dict):
        return "{ … }" if value else "{}"
    if isinstance(value, list):
        # Two levels are shown, so that a deeply nested list needs no recursion.
        shown = ["[…]" if isinstance(item, list) and item else value_text(item) for item in value[:8]]
        return shortened(f"[{', '.join(shown)}{', …' if len(value) > len(shown) else ''}]")
    return value.isoformat() if isinstance(value, (date, time)) else shortened(str(value))


def without_secrets(text: str) -> str:
    """Return the text with everything that looks like a secret masked."""
    for pattern, replacement in _FORMS_OF_SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _quoted(text: str) -> str:
    shown = shortened(without_secrets(text[:MAX_EXAMINED_CHARACTERS]))
    written = (
        _ESCAPES.get(character) or (character if character.isprintable() else unicode_escape(character))
        for character in shown
    )
    return f'"{"".join(written)}"'
