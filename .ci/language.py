"""Check the language of everything that people read: banned words and patterns, each with a replacement.

Markdown, manual pages, templates, unit files, scripts, the files in debian/, and the comments, docstrings and string
literals of Python files are read. Each occurrence is reported, and is an error.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

BANNED = {
    r"anew": "again",
    r"(?:is|are|was|were|be|been) told": "is notified, is logged, is shown",
    r"tellers?": "notifier, notifications",
    r"hush(?:ed|es)?": "suppressed, suppression reason",
    r"how (?:it|they|a monitor|monitors|each|everything) stands?": "the state of",
    r"stands? (?:for|against|behind|there|here)": "name the relation: is, prevents, depends on",
    r"looked at": "checked, read",
    r"(?:not )?believed": "confirmed",
    r"ones? that": "name the thing",
    r"(?:those|whoever|who) (?:that|asks?|hears?|waits?|wants?|watches|reads?)": "clients, recipients, readers",
    r"whoever": "name the actor",
    r"what does not": "name the thing",
    r"mend(?:ed|s|ing)?": "fix",
    r"in force": "active",
    r"of before": "previous",
    r"cries": "reports",
    r"by itself": "automatically",
    r"no fault": "no error",
    r"sees to it": "acknowledged by",
    r"gives? up(?: on)?|given up": "expires, stops",
    r"cut off": "isolated",
    r"sees again": "isolation has ended",
    r"takes? (?:it )?for": "treats as",
    r"anybody may|nobody (?:is|hears|asks|waits)": "name the actor",
    r"roster": "registry",
    r"courier": "delivery worker",
    r"whatever|whichever": "regardless of; name the actor",
    r"meanwhile": "in the meantime; while …",
    r"beside": "next to, in addition to, together with, compared with",
    r"also (?:while|during|if|when|across|over|after|without)": "even …, including …",
    r", [^,.;:()|\"]{1,45} included": "including …",
    r"in no file": "not configured in a file",
    r"(?:is|are|was|were) no (?:part|evidence|proof|news|secret)": "is not …",
    r"at a (?:delivery|reload)": "during delivery, on reload",
    r"types of (?:monitors|notifiers)": "monitor types, notifier types",
    r"like by|no longer also": "as …; no longer",
    r"who (?:may|wishes|can|is|wants)": "name the actor",
    r"e-mails?": "email",
    r"says (?:so|why|nothing)": "reports, explains, gives no information",
    r"edit loop": "while editing",
    r"(?:checks|requests|responses|results|bytes|messages|events) an? (?:second|minute|hour)": "per second",
    r"(?:stands?|stood) (?:at|as|in for|so|still|otherwise)": "name the state or relation",
    r"for want of|thereof|seldom|otherwise than": "because of a lack of, rarely, unlike",
    r"again and again": "repeatedly",
    r"tells": "shows, reports, indicates",
    r"one types": "the user types",
    r"holds? a NUL": "contains",
    r"notifications(?: about (?:some )?monitors)?(?: are suppressed)? for a time": "for a given time",
    r"else than": "other than",
    r"some (?:\d[\d,]*|(?:milli)?seconds|minutes|hours|days|weeks|intervals|hundred|thousand)": "a few, about",
    r"(?:is|was) no (?:failure|error|mount point)": "is not a, is not an",
    r"(?:its|the) present (?:configuration|files?|monitors|one|rate|reasons|state|time)": "current",
    r"may not (?:enter|read|write)": "cannot, has no permission to",
    r"(?:unit|service|server|daemon|client|program) wants?": "requires, needs",
    r"acknowledgements? withdrawn|withdraws? (?:the |an )?acknowledgements?": "remove",
    r"no (?:monitor|notifier|silence) is called": "has the name",
    r"name servers? do(?:es)? not answer|no answer within": "do not respond, no response",
    r"makes? (?:it|them) (?:up|down|degraded)": "goes up, goes down",
    r"bugs? of": "bug in",
    r"the only exceptions? are": "… are the only exceptions",
    r"belongs? into": "belongs in",
    r"ha(?:s|ve) expired at": "expired at",
    r"over (?:a |several )?restarts?": "across restarts",
    r"(?:problems?|recover(?:y|ies)|failures?) (?:is|are|was|were) (?:still |also )?notified": "a notification is sent",
    r"(?:since|of|and) the (?:period|month|week) before(?=[.,:;)])": "the previous period",
    r"(?:by|as) mail": "by email",
    r"counts? for the uptime": "counts towards the uptime",
    r"in the other time": "for the rest of the time",
    r"acknowledg(?:e|es|ed|ing) (?:the |an? |its )?(?:alerts?|problems?)": "acknowledge the incident",
    r"silenc(?:e|es|ed|ing) (?:the |an |its )?alerts?": "silence the monitor",
    r"difference to": "difference from, difference between",
    r"texts? of monitored services?": "text from",
    r"there (?:is|are) only with": "is available only with",
    r"also receives? the recovery(?! notification)": "receives the recovery notification",
    r"(?:month|week|last) that has ended": "the last complete month or week",
    r"being worked on": "someone is working on",
    r"three times `?check_every": "three check intervals",
    r"(?:the|this) period, as an age": "the length of the period",
    r"each of them as a whole": "each atomically",
    r"budgets? burns?": "the burn rate is",
    r"comes? and goes?": "change often",
    r"write one such as": "write a value such as",
    r"(?:is|are|was|were|be) left out|leaves out": "omitted, excluded, skipped",
    r"for good": "permanently",
    r"any ?more": "no longer",
    r"takes? no part": "does not take part",
    r"decides? about (?:the|its|their|this|it|them)": "decides the state, determines the framing",
    r"now and then": "regularly, from time to time",
    r"cross(?:es)? the network": "uses the network; is sent",
    r"mails": "emails",
    r"says? (?:what|when|which|whether)": "contains, defines, shows",
    r"the \w+ ones": "name the things",
    r", also (?:to|those|of|in|for|at)": "including, even",
    r"(?:stored|paused|acknowledged|silenced|removed) already": "already stored",
    r"(?:are|is) wanted": "needed, requested",
    r"(?:node|host|daemon|process)(?:s|es)? (?:dies?|died)|deaths?": "stops, exits",
    r", too(?=[.,;:)\"])": "as well, also",
    r"data centers?": "data centre",
    r"(?:another|other) (?!was|were|is|are)[a-z]+ than": "… other than, differs from",
    r"warn(?:s|ed)? of": "warn about",
    r"(?:alerts?|failures?|outages?) (?:is|are|was|were) notified|notif(?:ies|ied) once": "a notification is sent",
    r"fail(?:s|ed)? at once": "fail at the same time; fail immediately",
    r"\w*(?:normali|summari|synchroni|recogni|initiali|seriali|prioriti)s(?:es?|ed|ing|ations?)": "…ize, …ization",
}
PATTERN = re.compile("|".join(rf"(?P<p{i}>\b(?:{word})\b)" for i, word in enumerate(BANNED)), re.IGNORECASE)
SUGGESTIONS = list(BANNED.values())

# Identifiers that contain these words, as in `state_stands` or `ToldMonitor`.
BANNED_IN_IDENTIFIERS = {
    "anew": "again",
    "anybody": "name the actor",
    "believed": "confirmed",
    "cling": "ignore_cancellation",
    "courier": "worker",
    "heard": "received",
    "hears": "receives",
    "hush": "suppressed",
    "nobody": "name the actor",
    "recall": "load",
    "refuse": "reject, fail",
    "refusal": "rejection",
    "roster": "registry",
    "stands": "state, states",
    "standstill": "stall",
    "told": "reported, shown, received",
    "whoever": "name the actor",
}
# In names of tests only.
BANNED_IN_TEST_NAMES = {
    "costs": "affects",
    "somebody": "name the actor",
    "tells": "shows, reports",
    "who": "name the actor",
}
BEGINNING_OF_TEST_NAME = re.compile(r"test_(?:a|an|the|it|its|what|where|how|of)_")
NEGATION_IN_TEST_NAME = re.compile(r"(?<!there)_(?:is|are)_no_(?!longer|more)")
# Docstrings begin with an imperative verb or a noun phrase.
BEGINNING_OF_DOCSTRING = re.compile(r"(?:Raises|What|Who|Whose|How|That of|Those of) ")
# In docstrings and comments, "one" is a number.
PRONOUN = re.compile(
    r"\b(?:another|previous|new|newer|last|old|own|existing|former|latter|its|present|wrong|right|different) ones?\b",
    re.IGNORECASE,
)
LOOP_VARIABLE = re.compile(r"\bfor one in\b")
ALLOWED_IDENTIFIERS = {"NOBODY_UID"}
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

SUFFIXES = {
    ".md",
    ".py",
    ".html",
    ".1",
    ".5",
    ".8",
    ".service",
    ".socket",
    ".catalog",
    ".toml",
    ".mjs",
    ".js",
    ".yml",
    ".conf",
    ".css",
    ".json",
}
# Files without such a suffix.
NAMES = re.compile(r"^(?:Makefile$|\.ci/|debian/|completions/|requirements-|tests/system/run$)")
# The word lists themselves, and copies of texts from elsewhere.
EXCLUDED = re.compile(
    r"^(?:\.ci/language|debian/copyright|tests/browser/package|monitord/net/registry/dns[.]json|tests/test_language|tests/cli/importing/sources)"
)


def files() -> Iterator[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        is_read = Path(name).suffix in SUFFIXES or NAMES.match(name)
        if is_read and not EXCLUDED.search(name) and (ROOT / name).is_file():
            yield name


def texts(name: str) -> Iterator[tuple[int, str]]:
    """Line numbers and the text of a file that people read."""
    source = (ROOT / name).read_text()
    if not name.endswith(".py"):
        yield from enumerate(source.splitlines(), 1)
        return
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in kinds:
            yield from enumerate(token.string.splitlines(), token.start[0])


def occurrences(name: str) -> Iterator[str]:
    for number, line in texts(name):
        for found in PATTERN.finditer(line):
            suggestion = SUGGESTIONS[int((found.lastgroup or "p0")[1:])]
            yield f"{name}:{number}: {found[0]!r}; write: {suggestion}"
    for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
        if LOOP_VARIABLE.search(line):
            yield f"{name}:{number}: 'for one in'; write: the noun"
    if name.endswith(".py"):
        yield from banned_identifiers(name)
        yield from banned_beginnings(name)
        yield from pronouns(name)


def banned_identifiers(name: str) -> Iterator[str]:
    source = (ROOT / name).read_text()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.NAME or token.string in ALLOWED_IDENTIFIERS:
            continue
        banned = BANNED_IN_IDENTIFIERS
        if token.string.startswith("test_"):
            banned = {**banned, **BANNED_IN_TEST_NAMES}
        words = [found.lower() for found in WORDS.findall(token.string)]
        for word in words:
            if word in banned:
                yield f"{name}:{token.start[0]}: {token.string!r}; write: {banned[word]}"
        if phrase := banned_phrase(tuple(words)):
            yield f"{name}:{token.start[0]}: {token.string!r}; write: {phrase}"


@cache
def banned_phrase(words: tuple[str, ...]) -> str:
    """Return the replacement of a banned phrase in an identifier, as in `looked_at`; "" if there is none."""
    for found in PATTERN.finditer(" ".join(words)):
        if " " in found[0]:
            return SUGGESTIONS[int((found.lastgroup or "p0")[1:])]
    return ""


def banned_beginnings(name: str) -> Iterator[str]:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse((ROOT / name).read_text())):
        if not isinstance(node, documented):
            continue
        docstring = ast.get_docstring(node) or ""
        if found := BEGINNING_OF_DOCSTRING.match(docstring):
            line = node.body[0].lineno
            yield f"{name}:{line}: {found[0].strip()!r}; write: an imperative verb or a noun phrase"
        if not isinstance(node, ast.Module) and (found := BEGINNING_OF_TEST_NAME.match(node.name)):
            yield f"{name}:{node.lineno}: {node.name!r}; write: the behaviour, without {found[0][5:-1]!r}"
        is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        if is_test and (found := NEGATION_IN_TEST_NAME.search(node.name)):
            yield f"{name}:{node.lineno}: {node.name!r}; write: {found[0].replace('_no_', '_not_a_')!r}"


def pronouns(name: str) -> Iterator[str]:
    """Yield each "one" that stands for a noun in a docstring or a comment of a Python file."""
    source = (ROOT / name).read_text()
    texts_of_file = [
        (node.lineno, node.value.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    texts_of_file += [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    for line, text in texts_of_file:
        for found in PRONOUN.finditer(" ".join(text.split())):
            yield f"{name}:{line}: {found[0]!r}; write: repeat the noun"


def main() -> int:
    found = [occurrence for name in files() for occurrence in occurrences(name)]
    if not found:
        return 0
    print("\n".join(found))
    print("See CONTRIBUTING.md, Writing style.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
