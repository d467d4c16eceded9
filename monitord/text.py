"""Text for output: cleaning of external text for terminals, logs and pages, and common phrases.

Secrets are masked by `monitord.options.masking`. `monitord.systemd` follows the rules of the journal and the service
manager instead.
"""

import re
from collections.abc import Callable, Iterable, Sequence

MAX_SHOWN_CHARACTERS = 60
"""Limit for a value that is quoted in a message."""

MAX_COMPARED_CHARACTERS = 60
"""Limit for a word in a search for similar words: the time grows with the square of its length."""

MIN_SIMILARITY = 0.65
"""Minimum similarity of a suggestion (`difflib.SequenceMatcher.ratio`). A typo in a word of three letters has 0.67;
at the default of difflib, 0.6, "repeat_every" would be suggested for "receiver"."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_TERMINAL_SEQUENCE = re.compile(
    r"\x1b\][^\x07\x1b]{0,1000}(?:\x07|\x1b\\)"  # an operating system command: title, link
    r"|(?:\x1b\[|\x9b)[0-?]{0,100}[ -/]{0,100}[@-~]"  # ECMA-48, section 5.4: colours, movements
    r"|\x1b[ -/]{0,10}[0-~]"
)


def shortened(text: str, most: int = MAX_SHOWN_CHARACTERS) -> str:
    """Return the text cut to `most` characters; the last character is "…" if the text was cut."""
    return text if len(text) <= most else text[: most - 1] + "…"


def printable(text: str, *, keep: str = "", replacement: str = REPLACEMENT) -> str:
    """Replace every character that is not printable and not in `keep`.

    These are control characters (including ESC), bidirectional controls, zero-width characters, line separators and
    unpaired surrogates: they move the cursor, or reorder or hide the text around them.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else replacement for character in text
    )


def plain(text: str) -> str:
    """Return the text on one line, with a space for every character that is not printable."""
    return printable(text, replacement=" ")


def readable_lines(text: str) -> str:
    """Return the lines without terminal escape sequences and other characters that are not printable."""
    lines = _TERMINAL_SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\t", " ")
    return printable(lines, keep="\n", replacement="")


def unicode_escape(character: str) -> str:
    r"""Return the escape sequence of TOML, JSON and conditions: \u00e9, \U0001f600."""
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the end of \u


def counted(count: int, noun: str, *, separator: str = "") -> str:
    """ "1 monitor", "2 monitors", "2 addresses"; `separator` is for thousands: "," or "_"."""
    return f"{count:{separator}} {noun}{'' if count == 1 else 'es' if noun.endswith('s') else 's'}"


def joined(words: Sequence[str], conjunction: str = "and") -> str:
    """ "a", "a and b", "a, b and c" """
    *others, last = words or [""]
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def first_of(words: Sequence[str], most: int) -> str:
    """ "a, b and 3 more" """
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the most similar known word, otherwise a known word that it abbreviates; None if there is none."""
    return next(iter(_near(word, known, 1)), None)


def did_you_mean(word: str, known: Iterable[str], *, most: int = 1, show: Callable[[str], str] = str) -> str:
    """Return "did you mean status?", or "" if no known word is similar. `show` quotes a word, for example."""
    near = _near(word, known, most)
    return f"did you mean {' or '.join(map(show, near))}?" if near else ""


def _near(word: str, known: Iterable[str], most: int) -> list[str]:
    import difflib  # noqa: PLC0415 - slow to import, and needed only for errors

    known = list(known)
    near = difflib.get_close_matches(word[:MAX_COMPARED_CHARACTERS], known, n=most, cutoff=MIN_SIMILARITY)
    # An abbreviation is less similar than an unrelated word: "retry" for "retry_every".
    return near or [longer for longer in known if longer.startswith(f"{word}_")][:most]
