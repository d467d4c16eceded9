"""Syntax of patterns: the subset of Python's regular expressions that matches in linear time.

    regular     . [a-z] [^a-z] \\d \\w \\s and their opposites, escapes, groups (named or not), |
    repeated    * + ? {2} {2,} {2,5}, greedy or not: the result of `matches` is the same
    positions   ^ $ \\A \\Z \\b \\B
    flags       (?i) (?m) (?s) (?a) at the start

Back references, lookahead, lookbehind and atomic groups are not regular and are rejected. Single characters are matched
by `re`, so that character classes and case have the same meaning as there.
"""

import re
from dataclasses import dataclass
from enum import Enum

from monitord.conditions.errors import ConditionError
from monitord.text import shortened

MAX_PATTERN_CHARACTERS = 500
MAX_GROUP_DEPTH = 20
MAX_REPEATS = 1000

_INLINE_FLAGS = re.compile(r"\(\?([a-zA-Z]+)\)")
_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "a": re.ASCII}
_GROUP = re.compile(r"\((?:\?:|\?P<[A-Za-z_][A-Za-z0-9_]*>|(?!\?))")
_COUNT = re.compile(r"\{(?!\})([0-9]*)(?:(,)([0-9]*))?\}")
_ESCAPE = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U(?:000[0-9a-fA-F]|0010)[0-9a-fA-F]{4}|[dDwWsSntrfva]|[^A-Za-z0-9])",
    re.DOTALL,
)


class Position(Enum):
    """A position between two characters."""

    START = "\\A"
    LINE_START = "(?m)^"
    END = "\\Z"
    END_OR_LAST_NEWLINE = "$"
    LINE_END = "(?m)$"
    BOUNDARY = "\\b"
    NOT_BOUNDARY = "\\B"


_ESCAPED_POSITIONS = {
    "A": Position.START, "Z": Position.END, "b": Position.BOUNDARY, "B": Position.NOT_BOUNDARY
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Character:
    """One character, which the regular expression matches."""

    regex: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Sequence:
    parts: "tuple[Part, ...]"


@dataclass(frozen=True, slots=True)
class Alternation:
    alternatives: "tuple[Part, ...]"


@dataclass(frozen=True, slots=True)
class Repeat:
    part: "Part"
    at_least: int
    at_most: int | None
    is_lazy: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A group whose text is captured."""

    part: "Part"


Part = Character | Position | Sequence | Alternation | Repeat | Group


@dataclass(frozen=True, slots=True)
class Syntax:
    """A parsed pattern. `groups`: the number of captured groups."""

    part: Part
    flags: int
    groups: int = 0


def parse_pattern(text: str) -> Syntax:
    """Parse a pattern. Raises ConditionError with a column that counts from the start of the pattern."""
    if len(text) > MAX_PATTERN_CHARACTERS:
        raise ConditionError(1, f"the pattern is longer than {MAX_PATTERN_CHARACTERS} characters")
    parser = _PatternParser(text)
    return Syntax(parser.parse(), parser.flags, parser.groups)


class _PatternParser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.flags = 0
        self.groups = 0

    def parse(self) -> Part:
        if match := _INLINE_FLAGS.match(self._text):
            for letter in match[1]:
                if letter not in _FLAGS:
                    raise self._error(f"the flag {letter} is unknown", "write i, m, s or a")
                self.flags |= _FLAGS[letter]
            self._at = match.end()
        part = self._alternation(0)
        if self._at < len(self._text):
            raise self._error("the ) has no matching (", r"write \) for the character")
        return part

    def _alternation(self, depth: int) -> Part:
        if depth > MAX_GROUP_DEPTH:
            raise self._error(f"groups are nested more than {MAX_GROUP_DEPTH} levels deep")
        alternatives = [self._sequence(depth)]
        while self._text.startswith("|", self._at):
            self._at += 1
            alternatives.append(self._sequence(depth))
        return alternatives[0] if len(alternatives) == 1 else Alternation(tuple(alternatives))

    def _sequence(self, depth: int) -> Part:
        parts: list[Part] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._quantified(depth))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _quantified(self, depth: int) -> Part:
        self._raise_misplaced_repetition("there is nothing to repeat")
        part = self._atom(depth)
        if isinstance(part, Position):
            self._raise_misplaced_repetition("a position cannot be repeated")
            return part
        bounds = self._quantifier()
        if bounds is None:
            return part
        is_lazy = self._text.startswith("?", self._at)
        self._at += is_lazy
        self._raise_misplaced_repetition("a repetition cannot follow a repetition")
        return Repeat(part, *bounds, is_lazy)

    def _raise_misplaced_repetition(self, problem: str) -> None:
        if self._text.startswith(("*", "+", "?"), self._at) or _COUNT.match(self._text, self._at):
            character = self._text[self._at]
            raise self._error(problem, rf"write \{character} for the character")

    def _quantifier(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._text.startswith(sign, self._at):
                self._at += 1
                return bounds
        match = _COUNT.match(self._text, self._at)
        if match is None:
            return None
        at_least = int(match[1] or 0)
        at_most = int(match[3]) if match[3] else None if match[2] else at_least
        if max(at_least, at_most or 0) > MAX_REPEATS:
            raise self._error(f"a repetition count is at most {MAX_REPEATS}")
        if at_most is not None and at_most < at_least:
            raise self._error(f"{match[0]} has a minimum above its maximum")
        self._at = match.end()
        return at_least, at_most

    def _atom(self, depth: int) -> Part:
        character = self._text[self._at]
        if character == "(":
            return self._group(depth)
        if character == "[":
            return self._character_class()
        if character == "\\":
            return self._escape()
        self._at += 1
        is_multiline = bool(self.flags & re.MULTILINE)
        if character == "^":
            return Position.LINE_START if is_multiline else Position.START
        if character == "$":
            return Position.LINE_END if is_multiline else Position.END_OR_LAST_NEWLINE
        return Character(re.compile("." if character == "." else re.escape(character), self.flags))

    def _group(self, depth: int) -> Part:
        began = self._at
        match = _GROUP.match(self._text, self._at)
        if match is None:
            raise self._error(
                f"{shortened(self._text[self._at :], 5)} is not supported in patterns",
                "write a plain group; conditions can be joined by and, or, not",
            )
        self._at = match.end()
        part = self._alternation(depth + 1)
        if not self._text.startswith(")", self._at):
            self._at = began
            raise self._error("the ( is not closed", r"write \( for the character")
        self._at += 1
        if match[0] != "(?:":
            self.groups += 1
            return Group(part)
        # Wrapped in a group: `(?:^)*` repeats a group, which is allowed, not a position.
        return Sequence((part,)) if isinstance(part, Position) else part

    def _character_class(self) -> Part:
        began = self._at
        at = began + 1
        at += self._text.startswith("^", at)
        at += self._text.startswith("]", at)
        while at < len(self._text) and self._text[at] != "]":
            if self._text[at] == "[" or self._text[at : at + 2] in {"--", "&&", "~~", "||"}:
                # Python's FutureWarning: these may become set operations.
                self._at = at
                raise self._error(f"{self._text[at]} must be escaped in [ ]", rf"write \{self._text[at]}")
            at += 2 if self._text[at] == "\\" else 1
        if at >= len(self._text):
            raise self._error("the [ is not closed", r"write \[ for the character")
        self._at = at + 1
        return self._character(began)

    def _escape(self) -> Part:
        began = self._at
        letter = self._text[began + 1 : began + 2]
        if letter in _ESCAPED_POSITIONS:
            self._at += 2
            return _ESCAPED_POSITIONS[letter]
        match = _ESCAPE.match(self._text, began)
        if match is None:
            problem = (
                "is a back reference, which patterns do not support"
                if letter.isdigit()
                else "is not a known escape sequence"
            )
            raise self._error(f"\\{letter} {problem}", r"write \\ for a backslash")
        self._at = match.end()
        return self._character(began)

    def _character(self, began: int) -> Character:
        """Compile the text from `began` to the current position by `re`."""
        try:
            return Character(re.compile(self._text[began : self._at], self.flags))
        except re.error as error:
            self._at = began + (error.pos or 0)
            raise self._error(f"the pattern is invalid: {error.msg}") from None

    def _error(self, problem: str, hint: str = "") -> ConditionError:
        return ConditionError(self._at + 1, problem, hint)
