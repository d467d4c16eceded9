"""What is told of a check: no secret in it, and nothing that moves a terminal."""

import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.monitors.masking import MAX_EXCERPT_BYTES, Masking, printable

AWKWARD = 'pä\'ss "w&rd" <1>/+='


@pytest.mark.parametrize(
    "written",
    [
        AWKWARD,
        json.dumps(AWKWARD),
        json.dumps(AWKWARD, ensure_ascii=False),
        quote(AWKWARD),
        quote(AWKWARD, safe=""),
        quote_plus(AWKWARD),
        html.escape(AWKWARD),
    ],
    ids=["as it is", "JSON", "JSON in UTF-8", "URL", "parameter", "form", "HTML"],
)
def test_a_secret_is_masked_as_protocols_write_it(written: str) -> None:
    masked = Masking([AWKWARD]).mask(f"got {written}!")
    assert masked.replace('"', "") == "got ***!"


def test_the_longer_of_two_secrets_goes_first() -> None:
    assert Masking(["abc", "abcdef"]).mask("abcdef abc") == "*** ***"


def test_what_is_empty_is_no_secret() -> None:
    assert Masking(["", "  "]).mask("a b") == "a b"


def test_a_secret_at_the_cut_of_an_excerpt_is_masked() -> None:
    masking = Masking(["s3cret-token"])
    assert masking.excerpt("the token is s3cret-t") == "the token is ***"
    assert masking.mask_value("x" * 8185 + "s3cret-token") == "x" * 8185 + "***"


def test_a_value_keeps_its_type() -> None:
    masking = Masking(["s3cret"])
    assert masking.mask_value(["a s3cret", ("s3cret",), 7, None]) == ["a ***", ["***"], 7, None]
    assert masking.mask_value(7.5) == 7.5


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://a/\x1b\\link", "link"),
        ("\x9b2Jgone", "gone"),
        ("a\x00b\x08c\x7f", "abc"),
        ("one\r\ntwo\tthree", "one\ntwo three"),
        ("\u202eesrever", "esrever"),
        ("\x1bcreset", "reset"),
    ],
)
def test_nothing_moves_the_terminal(said: str, shown: str) -> None:
    assert printable(said) == shown


def test_a_secret_that_controls_hide_is_masked() -> None:
    assert Masking(["s3cret"]).excerpt("s3\x00cret s3\x1b[0mcret") == "*** ***"


def test_an_excerpt_of_nothing_is_none() -> None:
    assert Masking().excerpt(" \x00\n ") is None


@given(st.text(max_size=3000), st.text(min_size=1, max_size=20))
def test_an_excerpt_is_bounded_and_safe_whatever_was_said(said: str, secret: str) -> None:
    shown = Masking([secret]).excerpt(said + secret + said) or ""
    assert len(shown.encode()) <= MAX_EXCERPT_BYTES
    assert all(c.isprintable() or c == "\n" for c in shown)
