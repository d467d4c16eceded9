"""Captured text equals that of `re.search`, in linear time and within limits."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from monitord.conditions.pattern.matcher import MAX_SEARCHED_CHARACTERS, Capture
from tests.conditions.vocabulary import diagnostic_of

SINGLE = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", r"\s", r"\n"])
REPEATED = st.tuples(SINGLE, st.sampled_from(["", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}?"])).map(
    "".join
)
POSITION = st.sampled_from(["", "", "^", "$", r"\b", r"\A", r"\Z"])
ALTERNATIVES = st.lists(st.lists(REPEATED, min_size=1, max_size=3).map("".join), min_size=1, max_size=3)
PATTERNS = st.tuples(
    st.sampled_from(["", "(?i)", "(?m)", "(?s)"]),
    POSITION,
    ALTERNATIVES.map("|".join).map(lambda text: f"(?:{text})"),
    ALTERNATIVES.map("|".join).map(lambda text: f"({text})"),
    ALTERNATIVES.map("|".join).map(lambda text: f"(?:{text})"),
    POSITION,
)
SEARCHED = st.text(st.sampled_from("aabbA_ \n-"), max_size=14)


@given(PATTERNS, SEARCHED)
def test_captured_group_equals_that_of_re(pattern: tuple[str, ...], text: str) -> None:
    found = re.search("".join(pattern), text)
    assert Capture("".join(pattern)).find(text) == (found[1] if found is not None else False)


@given(PATTERNS, SEARCHED)
def test_capture_without_a_group_equals_the_match_of_re(pattern: tuple[str, ...], text: str) -> None:
    whole = "".join(pattern).replace("(", "(?:").replace("(?:?", "(?")
    found = re.search(whole, text)
    assert Capture(whole).find(text) == (found[0] if found is not None else False)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (
            r'name="csrf" value="([^"]*)"',
            '<input name="csrf" value="t0k/en=" /> <input value="x">',
            "t0k/en=",
        ),
        ("token=(.*);", "token=a;x=b;", "a;x=b"),
        ("token=(.*?);", "token=a;x=b;", "a"),
        ("(?P<id>[0-9]+)", "order 17, 18", "17"),
        ("[0-9]+", "order 17, 18", "17"),
        ("a(x)?b", "ab", False),
        ("(ab|a)(?:bc|c)", "abc", "ab"),
        ("(x*)", "aaa", ""),
        (".*$", "ab", "ab"),
        ("a*a*$", "aba", "a"),
        ("(?:ab)*c?$", "xababc", "ababc"),
        ("nothing", "aaa", False),
        ("", "", ""),
        ("^(.+)$", "one\ntwo\n", False),
        ("(?m)^t(.+)$", "one\ntwo\n", "wo"),
    ],
)
def test_capture_returns_the_group_or_the_match(pattern: str, text: str, found: str | bool) -> None:
    assert Capture(pattern).find(text) == found


def test_pattern_with_exponential_backtracking_ends() -> None:
    assert Capture("(a+)+$").find("a" * 10_000 + "b") is False


def test_search_ends_at_its_limits() -> None:
    assert Capture("b").find("a" * (MAX_SEARCHED_CHARACTERS + 1)) is True
    assert Capture("(?s)a(.*)b").find("a" * 100_000 + "b") is True


def test_second_group_is_rejected() -> None:
    error = diagnostic_of(Capture, "(a)(b)")
    assert error is not None
    assert error.message == "the pattern has 2 groups"
    assert error.hint == "write (?:…) for all groups but that of the value"
    assert diagnostic_of(Capture, "(a") is not None


@given(SEARCHED)
def test_repeated_capture_has_the_same_result(text: str) -> None:
    """The transition cache does not change the result."""
    pattern = Capture("(?s)a(.*?)b")
    first = pattern.find(text)
    assume(first is not True)
    assert pattern.find(text) == first
