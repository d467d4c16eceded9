"""Find the line of each key of a TOML text. Used only to report errors.

tomli keeps no positions, so the text is scanned a second time. It is known to be valid by then: the scanner finds where
values end, and does not parse them. It follows TOML 1.1 (https://toml.io/en/v1.1.0), a superset of 1.0; which version
is accepted depends on tomli.
"""

import re
from array import array
from bisect import bisect_right

from monitord.config.wording import Path

# Possessive repetitions: otherwise the engine would keep a backtracking state of 120 bytes for each character.
_BLANK = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|(["\\btnfre]))')
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b", '"': '"', "\\": "\\"}
_BASIC = re.compile(r'"((?:[^"\\\n]++|\\.)*+)"')
_LITERAL = re.compile(r"'([^'\n]*)'")
_SIMPLE = re.compile(r'"(?:[^"\\\n]++|\\.)*+"|\'[^\'\n]*\'|[^"\',\]}#\n]+')
# A multi-line string may end in one or two quotes of its own before the three that close it.
_ESCAPE_OR_END = {'"""': re.compile(r'\\[\s\S]|"{3,5}'), "'''": re.compile("'{3,5}")}


def find_lines(text: str) -> dict[Path, int]:
    """Return the line, counted from 1, of each key, table and list element of a valid TOML text.

    The line of a table is that of its header, or of the first key in it. Raises ValueError for an invalid text.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._starts = array("I", [0])
        self._starts.extend(match.end() for match in re.finditer("\n", text))
        self._last_element: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _header(self) -> Path:
        line = self._line()
        opening = 2 if self._text.startswith("[[", self._at) else 1
        self._at += opening
        names = self._key()
        self._at += opening
        parent: Path = ()
        for name in names[:-1]:
            parent = (*parent, name)
            # In a header, the name of an array of tables means its last element.
            if parent in self._last_element:
                parent = (*parent, self._last_element[parent])
            self.lines.setdefault(parent, line)
        path: Path = (*parent, names[-1])
        if opening == 1:
            self.lines[path] = line
            return path
        self.lines.setdefault(path, line)
        self._last_element[path] = self._last_element.get(path, -1) + 1
        path = (*path, self._last_element[path])
        self.lines[path] = line
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table
        for name in self._key():
            path = (*path, name)
            self.lines.setdefault(path, line)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _key(self) -> list[str]:
        names = []
        while True:
            self._skip(_SPACE)
            if match := _BASIC.match(self._text, self._at):
                self._at = match.end()
                names.append(_ESCAPE.sub(_unescaped, match[1]))
            elif match := _LITERAL.match(self._text, self._at):
                self._at = match.end()
                names.append(match[1])
            else:
                names.append(self._take(_BARE))
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return names
            self._at += 1

    def _value(self, path: Path) -> None:
        # Recursion is bounded by the parser, which needs more frames for each level.
        if self._text.startswith("[", self._at):
            self._at += 1
            index = 0
            while self._next_is_not("]"):
                self.lines[*path, index] = self._line()
                self._value((*path, index))
                index += 1
        elif self._text.startswith("{", self._at):
            self._at += 1
            while self._next_is_not("}"):
                self._pair(path)
        elif (pattern := _ESCAPE_OR_END.get(self._text[self._at : self._at + 3])) is not None:
            self._at += 3
            while match := pattern.search(self._text, self._at):
                self._at = match.end()
                if not match[0].startswith("\\"):
                    return
            raise ValueError("not TOML: a string without an end")
        else:
            self._take(_SIMPLE)

    def _next_is_not(self, closing: str) -> bool:
        """Skip blanks and a comma. Return False, and skip it, if the closing bracket follows."""
        self._skip(_BLANK)
        if self._text.startswith(",", self._at):
            self._at += 1
            self._skip(_BLANK)
        if self._text.startswith(closing, self._at):
            self._at += 1
            return False
        return True

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if match := pattern.match(self._text, self._at):
            self._at = match.end()

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"not TOML at character {self._at}")
        self._at = match.end()
        return match[0]

    def _line(self) -> int:
        return bisect_right(self._starts, self._at)


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    return chr(int(code, 16)) if code else _ESCAPED[match[4]]
