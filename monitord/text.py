"""Text for people: what comes from outside made fit to show on a terminal, in a log or on a page, and common phrases.

What must not be seen at all is the business of `monitord.options.masking`. `monitord.systemd` has its own rules, which
are those of the journal and of the service manager.
"""

import re
from collections.abc import Iterable, Sequence

MAX_SHOWN_CHARACTERS = 60
"""Of a value that a message quotes."""

MAX_COMPARED_CHARACTERS = 60
"""Of a word whose nearest is looked for: the time grows with the square of its length."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_TERMINAL_SEQUENCE = re.compile(
    r"\x1b\][^\x07\x1b]{0,1000}(?:\x07|\x1b\\)"  # a string for the terminal: its title, a link
    r"|(?:\x1b\[|\x9b)[0-?]{0,100}[ -/]{0,100}[@-~]"  # ECMA-48, section 5.4: colours, movements
    r"|\x1b[ -/]{0,10}[0-~]"
)


def shortened(text: str, most: int = MAX_SHOWN_CHARACTERS) -> str:
    """The text in at most `most` characters; the last one is "…" where it was cut."""
    return text if len(text) <= most else text[: most - 1] + "…"


def printable(text: str, *, keep: str = "", replacement: str = REPLACEMENT) -> str:
    """Replace every character that is not printable and not in `keep`.

    That are control characters (ESC among them), bidirectional controls, zero-width characters, line separators and
    halves of surrogate pairs: they move the cursor, reorder or hide what is shown beside them.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else replacement for one in text)


def plain(text: str) -> str:
    """The text on one line, with a space for every character that is not printable."""
    return printable(text, replacement=" ")


def readable_lines(text: str) -> str:
    """Lines without escape sequences of terminals and without any other character that is not printable."""
    lines = _TERMINAL_SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\t", " ")
    return printable(lines, keep="\n", replacement="")


def unicode_escape(character: str) -> str:
    r"""The character as TOML, JSON and conditions escape it: \u00e9, \U0001f600."""
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the end of \u


def counted(count: int, noun: str, *, separator: str = "") -> str:
    """ "1 monitor", "2 monitors"; `separator` is for thousands: "," or "_"."""
    return f"{count:{separator}} {noun}{'' if count == 1 else 's'}"


def joined(words: Sequence[str], conjunction: str = "and") -> str:
    """ "a", "a and b", "a, b and c" """
    *others, last = words or [""]
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def first_of(words: Sequence[str], most: int) -> str:
    """ "a, b and 3 more" """
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one; None: none is alike."""
    return next(iter(_near(word, known, 1)), None)


def did_you_mean(word: str, known: Iterable[str], *, most: int = 1) -> str:
    """ "did you mean status?", or nothing where no known word is alike."""
    near = _near(word, known, most)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _near(word: str, known: Iterable[str], most: int) -> list[str]:
    import difflib  # noqa: PLC0415 - slow to import, and needed only where something is wrong

    return difflib.get_close_matches(word[:MAX_COMPARED_CHARACTERS], list(known), n=most)
