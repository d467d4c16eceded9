import re
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from monitord.conditions.errors import ConditionError
from monitord.conditions.pattern.matcher import MAX_REMEMBERED_MOVES, MAX_SEARCHED_CHARACTERS, Pattern
from monitord.conditions.pattern.syntax import parse_pattern
from tests.conditions.vocabulary import diagnostic_of

CHARACTERS = st.sampled_from(
    ["a", "b", "A", "_", "é", "ß", " ", "\n", "-", "]", ".", r"\.", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"\n",
     r"\x61", r"\\", "[ab]", "[^a]", "[a-c]", r"[\d_]", "[]a]", "[^]a]", r"[\]\[]", "{", "}", "é", "{a", "{}"]
)  # fmt: skip
POSITIONS = st.sampled_from(["^", "$", r"\A", r"\Z", r"\b", r"\B"])
REPETITIONS = st.sampled_from(
    ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,}", "{0,2}", "{,2}", "{,}", "{1,2}?", "{0}"]
)
PATTERNS = st.recursive(
    CHARACTERS | POSITIONS | st.just(""),
    lambda inner: (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map("|".join)
        | st.tuples(inner, REPETITIONS).map(lambda parts: f"(?:{parts[0]}){parts[1]}")
        | st.tuples(CHARACTERS.filter(lambda text: "{" not in text), REPETITIONS).map("".join)
        | inner.map(lambda text: f"({text})")
    ),
    max_leaves=8,
)
OPTIONS = st.sampled_from(["", "(?i)", "(?m)", "(?s)", "(?a)", "(?ims)"])
SEARCHED = st.text(st.sampled_from("aabbAc_é\n\n 1-.]ß"), min_size=1, max_size=12)


def is_in(pattern: str, text: str) -> bool | None:
    return Pattern(pattern).is_in_any([text])


@given(OPTIONS, PATTERNS, SEARCHED)
def test_matches_equal_those_of_re(options: str, pattern: str, text: str) -> None:
    """On short texts, for which `re` is fast enough."""
    try:
        compiled = Pattern(options + pattern)
    except ConditionError as error:
        assume("too large" not in error.message)
        raise
    assert compiled.is_in_any([text]) is (re.search(options + pattern, text) is not None)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("", "", True),
        ("^$", "", True),
        (r"\Aok\Z", "ok", True),
        (r"\Aok\Z", "ok\n", False),
        ("ok$", "ok\n", True),
        ("ok$", "ok\n\n", False),
        ("(?m)^ok$", "a\nok\nb", True),
        ("(?i)STRASSE", "strasse", True),
        (r"\bup\b", "is up.", True),
        (r"\bup\b", "upper", False),
        (r"\U0001F600\u0061", "😀a", True),
        ("a.b", "a\nb", False),
        ("(?s)a.b", "a\nb", True),
        ("(?P<year>[0-9]{4})-(?:[0-9]{2})", "on 2024-05-01", True),
        (r"[😀-😂]", "😁", True),
        ("(a|ab)(c|bcd)(d*)$", "abcd", True),
        ("((a*)*)*b", "aaaa", False),
    ],
)
def test_patterns_have_the_same_meaning_as_in_python(pattern: str, text: str, *, found: bool) -> None:
    assert is_in(pattern, text) is found


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*b", "(a|aa)+$", "(.*a){20}$", "a*a*a*a*a*b", "^(([a-z])+.)+[A-Z]([a-z])+$"]
)
def test_search_in_a_hostile_text_ends(pattern: str) -> None:
    """Each of these takes `re` longer than a test may last: hours or longer."""
    assert is_in(pattern, "a" * 50_000 + "!") in {False, None}


def test_nested_repetition_is_decided_within_the_limits() -> None:
    assert is_in("(a+)+$", "a" * 200_000) is True
    assert is_in("(a+)+$", "a" * 200_000 + "!") is False
    assert is_in("a.*b", "a" * 200_000) is False


def test_search_with_too_many_combinations_is_undecided() -> None:
    text = "".join(format(number, "014b") for number in range(1 << 14)).translate(str.maketrans("01", "ab"))
    assert is_in("[ab]*a[ab]{400}c", text) is None


def test_long_text_is_searched_up_to_the_limit() -> None:
    assert is_in("x", "a" * (MAX_SEARCHED_CHARACTERS - 1) + "x") is True
    assert is_in("x", "a" * MAX_SEARCHED_CHARACTERS) is False
    assert is_in("x", "a" * MAX_SEARCHED_CHARACTERS + "x") is None
    assert is_in("x", "x" + "a" * MAX_SEARCHED_CHARACTERS) is True
    assert is_in("a$", "a" * MAX_SEARCHED_CHARACTERS + "\n") is None


def test_limit_applies_to_all_texts_together() -> None:
    half = "a" * (MAX_SEARCHED_CHARACTERS // 2)
    assert Pattern("x").is_in_any([half, half]) is False
    assert Pattern("x").is_in_any([half, half, "x"]) is None
    assert Pattern("x").is_in_any([half, "x", half, half]) is True


def test_cache_is_limited_and_does_not_change_results() -> None:
    pattern = Pattern("[^x]*yz")
    for start in range(0x4E00, 0x4E00 + 3 * MAX_REMEMBERED_MOVES, 500):
        text = "".join(map(chr, range(start, start + 500)))
        assert pattern.is_in_any([text]) is False
        assert pattern.is_in_any([text + "yz"]) is True
        assert sum(len(reached.moves) for reached in pattern._state_sets.values()) <= MAX_REMEMBERED_MOVES + 1


@pytest.mark.parametrize(
    ("pattern", "column", "problem", "hint"),
    [
        ("a(b", 2, "the ( is not closed", r"write \( for the character"),
        ("ab)", 3, "the ) has no matching (", r"write \) for the character"),
        ("a[b", 2, "the [ is not closed", r"write \[ for the character"),
        ("*a", 1, "there is nothing to repeat", r"write \* for the character"),
        ("a|{2}", 3, "there is nothing to repeat", r"write \{ for the character"),
        ("a**", 3, "a repetition cannot follow a repetition", r"write \* for the character"),
        ("a++", 3, "a repetition cannot follow a repetition", r"write \+ for the character"),
        ("^*", 2, "a position cannot be repeated", r"write \* for the character"),
        ("a{3,2}", 2, "{3,2} has a minimum above its maximum", ""),
        ("a{1001}", 2, "a repetition count is at most 1000", ""),
        ("(?=a)", 1, "(?=a) is not supported in patterns",
         "write a plain group; conditions can be joined by and, or, not"),
        ("(?x)a", 1, "the flag x is unknown", "write i, m, s or a"),
        (r"(a)\1", 4, r"\1 is a back reference, which patterns do not support", r"write \\ for a backslash"),
        (r"a\q", 2, r"\q is not a known escape sequence", r"write \\ for a backslash"),
        ("a\\", 2, "\\ is not a known escape sequence", r"write \\ for a backslash"),
        ("[[:alpha:]]", 2, "[ must be escaped in [ ]", r"write \["),
        ("[a--z]", 3, "- must be escaped in [ ]", r"write \-"),
        ("[a&&z]", 3, "& must be escaped in [ ]", r"write \&"),
        ("[a~~z]", 3, "~ must be escaped in [ ]", r"write \~"),
        ("[a||z]", 3, "| must be escaped in [ ]", r"write \|"),
        ("[^]a--z]", 5, "- must be escaped in [ ]", r"write \-"),
        ("x[z-a]", 3, "the pattern is invalid: bad character range z-a", ""),
        (r"\U00110000", 1, r"\U is not a known escape sequence", r"write \\ for a backslash"),
        ("(" * 21 + ")" * 21, 22, "groups are nested more than 20 levels deep", ""),
        ("((a{100}){100}){100}", 1, "the pattern is too large with its repetitions expanded", ""),
        ("(((){1000}){1000}){1000}", 1, "the pattern is too large with its repetitions expanded", ""),
        ("a" * 501, 1, "the pattern is longer than 500 characters", ""),
    ],
)  # fmt: skip
def test_unsupported_pattern_is_rejected_with_its_column(
    pattern: str, column: int, problem: str, hint: str
) -> None:
    with pytest.raises(ConditionError) as caught:
        Pattern(pattern)
    assert (caught.value.column, caught.value.message, caught.value.hint) == (column, problem, hint)


@given(st.text(max_size=30) | st.text(st.sampled_from("ab()[]{}*+?|\\^$.-&~,0123P<>:=!idswux"), max_size=30))
def test_parser_raises_only_condition_errors_and_accepts_only_patterns_of_re(text: str) -> None:
    error = diagnostic_of(parse_pattern, text)
    if error is None:
        re.compile(text)
    else:
        assert 1 <= error.column <= len(text) + 1


class CountingPattern(Pattern):
    steps = 0

    def _move(self, place: Any, symbol: str) -> Any:
        following, steps = super()._move(place, symbol)
        self.steps += steps
        return following, steps


def test_work_of_a_search_is_limited() -> None:
    """80,000 steps take about 40 ms, during which the event loop is blocked."""
    letters = Random(1).choices("abcdefgh ", k=20_000)
    pattern = CountingPattern("(a|b|[c-f])[a-h ]{200}[0-9]")
    assert pattern.is_in_any(["".join(letters)]) is None
    assert 70_000 < pattern.steps < 90_000
