"""Lexer of conditions. It yields tokens one at a time, so that the first error in reading order is reported."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from monitord.conditions.errors import ConditionError
from monitord.conditions.vocabulary import FIELD_NAME, RESERVED
from monitord.text import shortened
from monitord.units import QuantityError, parse_duration, parse_size

MAX_NUMBER_CHARACTERS = 30

_SPACE = re.compile(r"[ \t\r\n]*")
_SIGN = re.compile(r"===|!==|==|!=|<=|>=|<>|=~|!~|&&|\|\||[<>()\[\],=~!&|%+{“”‘’`]")  # noqa: RUF001 - see _FOREIGN
_QUANTITY = re.compile(r"-?[0-9][0-9A-Za-z.]*")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_STATUS_CLASS = re.compile(r"([1-5])[xX]{2}")
_SIZE_UNIT = re.compile("b", re.IGNORECASE)
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_SURROGATE = re.compile("[\ud800-\udfff]")

# Operators of other languages and quotation marks of word processors, with the operator to write instead.
_FOREIGN = {
    "===": "==", "!==": "!=", "=~": "matches", "!~": "not … matches", "<>": "!=", "&&": "and", "||": "or",
    "=": "==", "~": "matches", "!": "not", "&": "and", "|": "or", "%": "the number alone",
    "+": "the number alone", "{": "length(field) == 0 for an empty object",
    "“": "' or \"", "”": "' or \"", "‘": "' or \"", "’": "' or \"", "`": "' or \"",  # noqa: RUF001 - word processors replace quotes with these
}  # fmt: skip


class TokenKind(Enum):
    NAME = "a name"
    WORD = "a word"  # and, or, contains, true …: words that cannot be names of fields
    SIGN = "a sign"
    NUMBER = "a number"
    DURATION = "a duration"
    SIZE = "a size"
    TEXT = "text"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """A token. `value` is the value of a literal; `written` is its text in the condition."""

    kind: TokenKind
    column: int
    written: str
    value: int | float | str = ""

    def __str__(self) -> str:
        return "the end" if self.kind is TokenKind.END else shortened(self.written)

    def column_within(self, offset: int) -> int:
        """Return the column of a character of quoted text, or of its beginning if the text has escape sequences."""
        is_plain = self.kind is TokenKind.TEXT and "\\" not in self.written
        return self.column + 1 + offset if is_plain else self.column


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens, END last. Raises ConditionError for characters that begin no token."""
    at = _end_of_space(text, 0)
    while at < len(text):
        token = _token(text, at)
        yield token
        at = _end_of_space(text, at + len(token.written))
    yield Token(TokenKind.END, at + 1, "")


def _end_of_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _token(text: str, at: int) -> Token:
    column = at + 1
    if match := _SIGN.match(text, at):
        if match[0] in _FOREIGN:
            raise ConditionError(column, f"{match[0]} is unexpected here", f"write {_FOREIGN[match[0]]}")
        return Token(TokenKind.SIGN, column, match[0])
    if match := FIELD_NAME.match(text, at):
        if match[0] not in RESERVED and match[0].lower() in RESERVED:
            raise ConditionError(column, f"{match[0]} is unexpected here", f"write {match[0].lower()}")
        return Token(TokenKind.WORD if match[0] in RESERVED else TokenKind.NAME, column, match[0])
    if match := _QUANTITY.match(text, at):
        return _quantity(match[0], column)
    if text[at] in "'\"":
        return _text(text, at)
    raise ConditionError(column, f"{text[at]!a} is unexpected here", "put strings in quotes")


def _quantity(written: str, column: int) -> Token:
    if len(written) > MAX_NUMBER_CHARACTERS:
        raise ConditionError(column, f"{shortened(written)} is too long for a number")
    if _NUMBER.fullmatch(written):
        number = float(written) if "." in written else int(written)
        # 200.0 and 200 are equal and have the same canonical text.
        return Token(TokenKind.NUMBER, column, written, int(number) if number == int(number) else number)
    try:
        if written[0] == "-":
            # Sizes are never negative; durations are, for example after an expiry.
            return Token(TokenKind.DURATION, column, written, 0.0 - parse_duration(written[1:]))
        if _SIZE_UNIT.search(written):
            return Token(TokenKind.SIZE, column, written, parse_size(written))
        return Token(TokenKind.DURATION, column, written, parse_duration(written))
    except QuantityError as error:
        raise quantity_error(written, column, error) from None


def quantity_error(written: str, column: int, error: QuantityError) -> ConditionError:
    """Return the error for an invalid quantity, with a hint without quotes as conditions write it."""
    if error.is_out_of_range:
        return ConditionError(column, f"{written} {error.problem}", error.hint)
    if class_of_status := _STATUS_CLASS.fullmatch(written):
        first = int(class_of_status[1])
        return ConditionError(
            column, f"{written} is not a number", f"write status >= {first}00 and status < {first + 1}00"
        )
    return ConditionError(
        column,
        f"{written} is not a number, a duration or a size",
        f"write {error.suggestion or '200, 300ms or 64KiB'}",
    )


def _text(text: str, at: int) -> Token:
    match = _QUOTED.match(text, at)
    if match is None:
        raise ConditionError(at + 1, "the text is not closed", f"close it with {text[at]}")

    def meaning(escape: re.Match[str]) -> str:
        """Return the character of an escape sequence; other backslashes are kept, as patterns need them."""
        code = escape[1] or escape[2]
        if code is None and escape[3] not in {"u", "U"}:
            return _ESCAPED.get(escape[3], escape[0])
        try:
            return chr(int(code or "", 16))
        except (ValueError, OverflowError):
            column = at + 2 + escape.start()
            raise ConditionError(
                column, f"{escape[0]} is not a valid escape sequence", r"write \u and four hexadecimal digits"
            ) from None

    value = _ESCAPE.sub(meaning, match[0][1:-1])
    if _SURROGATE.search(value):
        raise ConditionError(at + 1, "the text contains an unpaired surrogate", r"write \U and eight digits")
    return Token(TokenKind.TEXT, at + 1, match[0], value)
