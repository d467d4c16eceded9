"""Texts about a check contain no secrets and no terminal escapes."""

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.options.http import named_secrets
from monitord.options.masking import MAX_EXCERPT_BYTES, Masking
from monitord.options.program import secrets_of_arguments

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
def test_secret_is_masked_in_the_encodings_of_protocols(written: str) -> None:
    masked = Masking([AWKWARD]).mask(f"got {written}!")
    assert masked.replace('"', "") == "got ***!"


SECRET = "k1m/pä&=+ss"
LOWER = "".join(f"%{byte:02x}" for byte in SECRET.encode())


@pytest.mark.parametrize(
    "written",
    [
        SECRET.replace("/", "\\/"),
        json.dumps({"a": SECRET}).replace("/", "\\/"),
        json.dumps(json.dumps([SECRET])),
        json.dumps(json.dumps(json.dumps([SECRET]))),
        quote(SECRET, safe="").lower(),
        quote(quote(SECRET, safe=""), safe=""),
        LOWER,
        LOWER.upper(),
        "".join(f"\\u{ord(character):04x}" for character in SECRET),
        "".join(f"\\u{ord(character):04X}" for character in SECRET),
        "".join(f"\\x{ord(character):02x}" for character in SECRET),
        SECRET.replace("&", "\\u0026").replace("=", "\\u003d"),
        SECRET.replace("&", "&amp;").replace("/", "&sol;").replace("ä", "&auml;"),
        "".join(f"&#{ord(character)};" for character in SECRET),
        "".join(f"&#{ord(character):05};" for character in SECRET),
        "".join(f"&#x{ord(character):x};" for character in SECRET),
        "".join(f"&#X{ord(character):02X};" for character in SECRET),
        html.escape(html.escape(SECRET)),
        quote(json.dumps(SECRET)),
        html.escape(json.dumps(SECRET)),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
    ],
)
def test_secret_is_masked_in_every_encoding_and_in_several_at_once(written: str) -> None:
    masked = Masking([SECRET]).mask(f"got {written} at last")
    assert masked.startswith("got ")
    assert masked.endswith(" at last")
    assert masked.count("***") == 1
    assert "1m" not in masked
    assert "ss" not in masked.replace("last", "")


@pytest.mark.parametrize("before", ["", "k", "ki", "kim:", "kim.example:", "Bearer "])
@pytest.mark.parametrize("after", ["", "x", "xy", ":1"])
@pytest.mark.parametrize("secret", ["s3cret-t0ken", "pässword", "ab?>", "hunter22"])
def test_secret_is_masked_in_base64_wherever_it_begins(before: str, after: str, secret: str) -> None:
    data = f"{before}{secret}{after}".encode()
    for encoded in (base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()):
        for written in (encoded, encoded.replace("/", "\\/"), quote(encoded, safe="").replace("%2F", "%2f")):
            masked = Masking([secret]).mask(f"token={written}&b=2")
            assert "***" in masked
            assert masked.startswith("token=")
            assert masked.endswith("&b=2")
            # A letter of base64 has six bits: at most two of each neighbour of the secret are left.
            rest = re.sub("%..", "", masked.removeprefix("token=").removesuffix("&b=2").replace("***", ""))
            assert len(rest) <= len(base64.b64encode(before.encode() + b"--")) + len(
                base64.b64encode(after.encode() + b"--")
            )


@pytest.mark.parametrize("secret", ["x", "12", "abc", " ab "])
def test_short_secret_is_not_revealed_by_masks(secret: str) -> None:
    text = "xylophone 12 abc: max"
    masking = Masking([secret])
    assert masking.mask(text) == masking.excerpt(text) == masking.mask_value(text) == text


@pytest.mark.parametrize(
    "shown", ["the token is s3cret-t…", "s3cret… and s3cr…", '{"a": "\\u0073\\u0033cret…"}', "%733cret-…"]
)
def test_beginning_of_a_secret_before_a_cut_is_masked(shown: str) -> None:
    masked = Masking(["s3cret-token"]).mask(shown)
    assert "***…" in masked
    assert "cr" not in masked


def test_cut_within_an_escape_leaves_no_beginning_of_a_secret() -> None:
    masking = Masking(["s3cret/token"])
    for cut in ("s3cret\ufffd", "s3cret%2", "s3cret\\u00", "s3cret&#x2", "s3cret\\"):
        assert masking.excerpt(f"it is {cut}") is not None
        assert "cret" not in str(masking.excerpt(f"it is {cut}")), cut


def test_secrets_in_numbers_and_objects_are_masked() -> None:
    masking = Masking(["12345678"])
    assert masking.mask_value(12345678) == "***"
    assert masking.mask_value(1234) == 1234
    assert masking.mask_value({"pin 12345678": [12345678, True, None]}) == {"pin ***": ["***", True, None]}


def test_secret_that_looks_like_an_escape_is_masked() -> None:
    secret = "a%41&amp;\\u0041b/c"
    for written in (secret, json.dumps(secret).replace("/", "\\/"), quote(secret), html.escape(secret)):
        masked = Masking([secret]).mask(f"got {written}.")
        assert "***" in masked
        assert "c" not in masked, masked


def test_rest_of_a_text_is_unchanged() -> None:
    text = 'a%20b \\n &amp; "\\u00e4" %e4 %zz &nosuch; \\'
    masked = Masking(["s3cret-token"]).mask(f"{text} s3cret%2dtoken {text}")
    assert masked == f"{text} *** {text}"


@given(st.text(max_size=200), st.text(min_size=4, max_size=12))
def test_masking_never_fails_and_leaves_no_secret(said: str, secret: str) -> None:
    masked = Masking([secret]).mask(said + secret + said)
    if secret.strip() and len(secret.strip()) >= 4 and not set(secret) & set("*"):
        assert secret.strip() not in masked


def test_longer_of_two_secrets_is_masked_first() -> None:
    assert Masking(["abcd", "abcdef"]).mask("abcdef abcd") == "*** ***"


def test_empty_text_is_not_a_secret() -> None:
    assert Masking(["", "  "]).mask("a b") == "a b"


def test_secret_at_the_cut_of_an_excerpt_is_masked() -> None:
    masking = Masking(["s3cret-token"])
    assert masking.excerpt("the token is s3cret-t") == "the token is ***"
    assert masking.mask_value("x" * 8185 + "s3cret-token") == "x" * 8185 + "***"


def test_value_keeps_its_type() -> None:
    masking = Masking(["s3cret"])
    assert masking.mask_value(["a s3cret", ("s3cret",), 7, None]) == ["a ***", ["***"], 7, None]
    assert masking.mask_value(7.5) == 7.5


def test_secret_with_control_characters_inside_is_masked() -> None:
    assert Masking(["s3cret"]).excerpt("s3\x00cret s3\x1b[0mcret") == "*** ***"


def test_excerpt_without_visible_text_is_none() -> None:
    assert Masking().excerpt(" \x00\n ") is None


@given(st.text(max_size=3000), st.text(min_size=1, max_size=20))
def test_excerpt_is_limited_and_safe_for_any_response(said: str, secret: str) -> None:
    shown = Masking([secret]).excerpt(said + secret + said) or ""
    assert len(shown.encode()) <= MAX_EXCERPT_BYTES
    assert all(c.isprintable() or c == "\n" for c in shown)


def test_only_values_with_secret_names_are_secrets() -> None:
    text = '{"status_code": "degraded", "key": "routing", "author": "kim-kim", "access_key": "s3cret-1"}'
    assert list(named_secrets(text)) == ["s3cret-1", "s3cret-1"]
    command = [
        "/bin/check",
        "--keyword",
        "alertname",
        "--author=kim-kim",
        "--auth",
        "s3cret-2",
        "--pwd=s3cret-3",
    ]
    assert list(dict.fromkeys(secrets_of_arguments(command))) == ["s3cret-2", "s3cret-3"]
