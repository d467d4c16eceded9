"""Masking of the secrets of options in all texts of results: detail, values in conditions, excerpt.

A peer may repeat a secret, unchanged or in an encoding of its protocol, and may send control characters.
"""

import base64
import html
import itertools
import re
import traceback
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from monitord.config import SHORTEST_SECRET
from monitord.text import printable, readable_lines

MASK = "***"
MAX_EXCERPT_BYTES = 1024
MAX_EXCERPT_CHARACTERS = 4096
"""Limit of the text from which the excerpt is made."""
MAX_SEARCHED_CHARACTERS = 8192
MAX_SHOWN_ITEMS = 20
"""Limit for a list or a table; the other items are omitted."""
SHORTEST_BASE64 = 4
MAX_NESTED_ENCODINGS = 3
"""Limit of encodings within each other, for example JSON in a form in JSON."""
MAX_NUMBER_BITS = 512
MAX_CUTS = 10
SHORTEST_CUT = 4
"""The minimum length of the beginning of a secret that is masked at the end of a truncated text."""

_ESCAPE_OF_PROTOCOL = re.compile(
    r"%[0-7][0-9A-Fa-f]|(?:%[89A-Fa-f][0-9A-Fa-f])+"
    r"|\\u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}"
    r"|\\[\\/\"'bfnrt]"
    r"|&#[0-9]{1,7};?|&#[xX][0-9A-Fa-f]{1,6};?|&[A-Za-z][A-Za-z0-9]{1,31};|&(?:amp|lt|gt|quot)"
)
_INCOMPLETE = re.compile(r"(?:%[0-9A-Fa-f]?|\\(?:[ux][0-9A-Fa-f]{0,3})?|&(?:#[xX]?)?[A-Za-z0-9]{0,8})$")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]")
_BASE64_END = re.compile(r"[A-Za-z0-9+/_-]?={0,2}")
_AFTER_BACKSLASH = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Masking:
    """Masks secrets in texts, in all usual encodings.

    Secrets that are shorter than SHORTEST_SECRET are not masked: masks at each occurrence of their characters would
    reveal them.
    """

    __slots__ = ("_needles",)  # and whether each is a part of a text in base64

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._needles = {needle: is_base64 for secret in secrets for needle, is_base64 in _needles(secret)}

    def mask(self, text: str) -> str:
        return text if not self._needles or self._is_clean(text) else self._masked(text, is_cut=False)

    def printable_lines(self, received: bytes) -> str:
        """Return received bytes as lines of printable text with secrets masked: safe to print to a terminal."""
        text = self.mask(received.decode(errors="replace"))
        return printable(text.replace("\r\n", "\n").rstrip("\n"), keep="\n")

    def masked_traceback(self, error: BaseException) -> str | None:
        """The traceback for the log, as an error may quote its input; None if it contains no secret."""
        text = "".join(traceback.format_exception(error)).rstrip()
        masked = self.mask(text)
        return None if masked == text else masked

    def mask_value(self, value: object) -> object:
        """The value with masked secrets, of the same type. Long values are truncated."""
        if not self._needles:
            return value
        if isinstance(value, str):
            return self._masked(value[:MAX_SEARCHED_CHARACTERS], is_cut=True)
        if isinstance(value, (list, tuple)):
            return [self.mask_value(item) for item in value[:MAX_SHOWN_ITEMS]]
        if isinstance(value, dict):
            items = itertools.islice(value.items(), MAX_SHOWN_ITEMS)
            return {self.mask_value(name): self.mask_value(item) for name, item in items}
        if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < MAX_NUMBER_BITS:
            text = str(value)
            return MASK if self._masked(text, is_cut=False) != text else value
        return value

    def excerpt(self, text: str) -> str | None:
        """The masked beginning of a text, at most MAX_EXCERPT_BYTES; None if nothing is visible."""
        # Masked twice: a secret may contain characters that `readable_lines` removes, or be interrupted by them.
        masked = self._masked(text[:MAX_EXCERPT_CHARACTERS], is_cut=True)
        shown = readable_lines(masked)
        if shown != masked:
            shown = self._masked(shown, is_cut=True)
        shown = shown.strip()
        encoded = shown.encode()
        if len(encoded) > MAX_EXCERPT_BYTES:
            shown = encoded[: MAX_EXCERPT_BYTES - len("…".encode())].decode(errors="ignore") + "…"
        return shown or None

    def _is_clean(self, text: str) -> bool:
        """Whether a text certainly contains no secret, as the usual detail of a check that passes. A fast path."""
        for needle in self._needles:
            if needle in text:
                return False
        return not (
            "%" in text or "\\" in text or "…" in text or ("&" in text and _ESCAPE_OF_PROTOCOL.search(text))
        )

    def _masked(self, text: str, *, is_cut: bool) -> str:
        """Mask secrets. `is_cut`: the text may be truncated within a secret, as it may be before each "…"."""
        if not self._needles or not text:
            return text
        spans = self._spans(text, is_cut=is_cut)
        maps: list[_Decoding] = []
        level = text[:MAX_SEARCHED_CHARACTERS]
        is_cut = is_cut and level == text
        for _ in range(MAX_NESTED_ENCODINGS):
            if _ESCAPE_OF_PROTOCOL.search(level) is None:
                break
            decoding = _Decoding(level)
            maps.append(decoding)
            level = decoding.text
            for start, end in self._spans(level, is_cut=is_cut):
                for outer in reversed(maps):
                    start, end = outer.origin(start, end)  # noqa: PLW2901 - one level after the other
                spans.append((start, end))
        pieces: list[str] = []
        position = -1
        shown_to = 0
        for start, end in sorted(spans):
            if start > position or position < 0:
                pieces += [text[shown_to:start], MASK]
            position = max(position, end)
            shown_to = position
        return "".join([*pieces, text[shown_to:]])

    def _spans(self, text: str, *, is_cut: bool) -> list[tuple[int, int]]:
        """The positions of secrets. They may overlap."""
        spans: list[tuple[int, int]] = []
        for needle, is_base64 in self._needles.items():
            start = text.find(needle)
            while start >= 0:
                end = start + len(needle)
                # The characters of base64 on both sides contain bits of the secret.
                before = _BASE64.match(text, max(0, start - 1), start)
                after = _BASE64_END.match(text, end)
                spans.append(
                    (start if before is None else start - 1, end if after is None else after.end())
                    if is_base64
                    else (start, end)
                )
                start = text.find(needle, start + 1)
        ends = []
        if "…" in text:
            ends = [match.start() for match in itertools.islice(re.finditer("…", text), MAX_CUTS)]
        if is_cut:
            whole = text.rstrip("\ufffd")  # a character that was cut in two
            incomplete = _INCOMPLETE.search(whole)
            ends.append(len(whole) if incomplete is None else incomplete.start())
        for end in ends:
            length = max((_cut_length(text, end, needle) for needle in self._needles), default=0)
            if length:
                spans.append((end - length, end))
        return spans


def _cut_length(text: str, end: int, needle: str) -> int:
    """The length of the needle's beginning directly before `end`, at least SHORTEST_CUT; 0 if there is none."""
    start = text.find(needle[:SHORTEST_CUT], max(0, end - len(needle) + 1), end)
    while start >= 0:
        if needle.startswith(text[start:end]):
            return end - start
        start = text.find(needle[:SHORTEST_CUT], start + 1, end)
    return 0


class _Decoding:
    """A text with one level of escapes decoded, and the origin of each part."""

    def __init__(self, text: str) -> None:
        pieces: list[str] = []
        self._at: list[int] = []  # the start of each piece in the decoded text
        self._from: list[
            tuple[int, int, bool]
        ] = []  # its position in the original, and whether it was an escape
        position = length = 0
        for match in _ESCAPE_OF_PROTOCOL.finditer(text):
            escape = match[0]
            if escape.startswith("%"):
                unescaped = (
                    unquote(escape, errors="replace")
                    if len(escape) > len("%41")
                    else chr(int(escape[1:], 16))
                )
            elif escape.startswith("&"):
                unescaped = html.unescape(escape if escape.endswith(";") else f"{escape};")
            elif escape[1] in "uUx":
                # Two halves of a character beyond the basic plane are one escape (RFC 8259, section 7).
                units = b"".join(
                    int(unit, 16).to_bytes(4, "big")[-2:] for unit in re.findall("[0-9a-fA-F]+", escape)
                )
                unescaped = units.decode("utf-16-be", errors="replace")
            else:
                unescaped = _AFTER_BACKSLASH.get(escape[1], escape[1])
            for start, end, piece, is_escape in (
                (position, match.start(), text[position : match.start()], False),
                (match.start(), match.end(), unescaped, True),
            ):
                if piece:
                    pieces.append(piece)
                    self._at.append(length)
                    self._from.append((start, end, is_escape))
                    length += len(piece)
            position = match.end()
        pieces.append(text[position:])
        self._at.append(length)
        self._from.append((position, len(text), False))
        self.text = "".join(pieces)

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """The position in the original of text[start:end], which is not empty."""
        first, last = (bisect_right(self._at, at) - 1 for at in (start, end - 1))
        begin, _, is_escape = self._from[first]
        origin_start = begin if is_escape else begin + start - self._at[first]
        begin, finish, is_escape = self._from[last]
        return origin_start, finish if is_escape else begin + end - self._at[last]


def _needles(secret: str) -> Iterator[tuple[str, bool]]:
    """The secret in each encoding that changes all of it, and whether that is a part of a base64 text."""
    plain = secret.strip()
    if len(plain) < SHORTEST_SECRET:
        return
    yield plain, False
    if " " in plain:
        yield plain.replace(" ", "+"), False  # as in forms
    data = plain.encode(errors="replace")
    yield data.hex(), False
    yield data.hex().upper(), False
    # In a longer text (such as user:password) a secret begins at any of the three bytes of a base64 group.
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + data).decode()
        core = encoded[(0, 2, 3)[offset] : (offset + len(data)) * 8 // 6]
        if len(core) >= SHORTEST_BASE64:
            yield core, True
            yield core.replace("+", "-").replace("/", "_"), True  # RFC 4648, section 5
    # A secret may itself contain an escape, which is decoded with the others.
    decoded = plain
    for _ in range(MAX_NESTED_ENCODINGS):
        if _ESCAPE_OF_PROTOCOL.search(decoded) is None:
            return
        decoded = _Decoding(decoded).text
        if len(decoded) >= SHORTEST_SECRET:
            yield decoded, False
