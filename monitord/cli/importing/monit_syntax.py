"""The control file of monit as tokens and statements: https://mmonit.com/monit/documentation/.

Only the structure is read here; monit.py interprets the statements. The grammar has no separators: a statement
ends where a word begins the next statement.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

MAX_TOKENS = 200_000

SERVICE_TYPES = {
    *("process", "file", "filesystem", "fifo", "directory", "host", "system", "program", "network", "device"),
}
_STATEMENTS = {
    *("if", "start", "stop", "restart", "group", "depends", "depend", "alert", "noalert", "every", "mode"),
    *("onreboot", "include", "not"),
}
_TOKEN = re.compile(
    r"""(?P<space>[\s,;]+|\#[^\n]*)
    |"(?P<double>[^"]*)"
    |'(?P<single>[^']*)'
    |(?P<block>\{[^{}]*\})
    |(?P<url>[A-Za-z][A-Za-z0-9+.-]*://[^\s"']+)
    |(?P<operator>==|!=|>=|<=|=~|[=<>!])
    |(?P<word>[^\s"'#{}=<>!,;]+)
    |(?P<other>.)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class MonitToken:
    """A word, a text in quotes or a block in braces. `is_word`: it can be a keyword."""

    text: str
    line: int
    is_word: bool = False

    @property
    def keyword(self) -> str:
        return self.text.lower() if self.is_word else ""


@dataclass(slots=True)
class MonitTest:
    """ "if CONDITION then ACTION": the tokens of the condition, and the action."""

    condition: list[MonitToken]
    action: str
    line: int


@dataclass(slots=True)
class MonitService:
    """ "check TYPE NAME …" with its tests; other statements by their first word."""

    kind: str
    name: str
    line: int
    header: list[MonitToken] = field(default_factory=list)
    tests: list[MonitTest] = field(default_factory=list)
    statements: list[tuple[str, list[MonitToken]]] = field(default_factory=list)


@dataclass(slots=True)
class MonitFile:
    """`settings`: the statements that begin with "set". `includes`: their patterns."""

    settings: list[list[MonitToken]] = field(default_factory=list)
    services: list[MonitService] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)


def parse(text: str) -> MonitFile:
    """Parse a control file. Raises ValueError if it has too many tokens."""
    tokens: list[MonitToken] = []
    line = 1
    for match in _TOKEN.finditer(text):
        if match.lastgroup not in {"space", "other"}:
            if len(tokens) == MAX_TOKENS:
                raise ValueError(f"has more than {MAX_TOKENS} words")
            tokens.append(MonitToken(match[match.lastgroup or 0], line, is_word=match.lastgroup == "word"))
        line += match[0].count("\n")
    parsed = MonitFile()
    for part in _parts(tokens):
        first = part[0].keyword
        if first == "set":
            parsed.settings.append(part[1:])
        elif first == "include":
            parsed.includes += [token.text for token in part[1:2]]
        elif len(part) > 2:  # noqa: PLR2004 - check TYPE NAME
            service = _service(part)
            parsed.services.append(service)
            parsed.includes += [
                token.text for word, rest in service.statements if word == "include" for token in rest[:1]
            ]
    return parsed


def _parts(tokens: Sequence[MonitToken]) -> Iterator[list[MonitToken]]:
    """The parts of the file that begin with set, check TYPE or, outside of a service, include."""
    part: list[MonitToken] = []
    for index, token in enumerate(tokens):
        following = tokens[index + 1].keyword if index + 1 < len(tokens) else ""
        is_start = token.keyword == "set" or (token.keyword == "check" and following in SERVICE_TYPES)
        if is_start or (token.keyword == "include" and not (part and part[0].keyword == "check")):
            if part:
                yield part
            part = [token]
        elif part:
            part.append(token)
    if part:
        yield part


def _service(tokens: Sequence[MonitToken]) -> MonitService:
    service = MonitService(tokens[1].keyword, tokens[2].text, tokens[0].line)
    index = 3
    while index < len(tokens) and tokens[index].keyword not in _STATEMENTS:
        service.header.append(tokens[index])
        index += 1
    while index < len(tokens):
        word = tokens[index].keyword
        if word == "if":
            index = _test(tokens, index, service)
            continue
        end = index + 1
        while end < len(tokens) and tokens[end].keyword not in _STATEMENTS:
            end += 1
        service.statements.append((word, list(tokens[index + 1 : end])))
        index = end
    return service


def _test(tokens: Sequence[MonitToken], index: int, service: MonitService) -> int:
    """Read "if … then ACTION [else [if …] then ACTION]" and return the index after it."""
    line = tokens[index].line
    start = index + 1
    while index < len(tokens) and tokens[index].keyword != "then":
        index += 1
    condition = list(tokens[start:index])
    action = tokens[index + 1].keyword if index + 1 < len(tokens) else ""
    index = _after_action(tokens, index + 1)
    service.tests.append(MonitTest(condition, action, line))
    if index < len(tokens) and tokens[index].keyword == "else":
        while index < len(tokens) and tokens[index].keyword != "then":
            index += 1
            if index < len(tokens) and tokens[index].keyword in _ACTIONS:
                return _after_action(tokens, index)
        index = _after_action(tokens, index + 1)
    return index


_ACTIONS = {"alert", "restart", "start", "stop", "exec", "unmonitor", "monitor", "timeout", "ignore"}


def _after_action(tokens: Sequence[MonitToken], index: int) -> int:
    """The index after an action and its arguments."""
    index += 1
    while index < len(tokens) and tokens[index].keyword not in {*_STATEMENTS, "else"}:
        index += 1
    return index
