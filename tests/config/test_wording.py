from datetime import date

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from monitord.config.wording import Path, key_text, subject_text, value_text
from monitord.text import MAX_SHOWN_CHARACTERS


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("a", "b-c_1"), "a.b-c_1"),
        (("a", 0, "b", 12), "a[0].b[12]"),
        (("a b", ""), '"a b".""'),
        (("x" * 100,), '"' + "x" * 59 + '…"'),
    ],
    ids=str,
)
def test_key_is_shown_as_in_toml(path: Path, text: str) -> None:
    assert key_text(path) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (3, "3"),
        (-0.5, "-0.5"),
        (float("nan"), "nan"),
        (date(2026, 11, 22), "2026-11-22"),
        ('a "b"\n\\', '"a \\"b\\"\\n\\\\"'),
        ("\x1b[31m\u202e\U000e0001", '"\\u001b[31m\\u202e\\U000e0001"'),
        ("https://user:hunter2@host/", '"https://***@host/"'),
        ("kim:hunter2@mail.example.org:25", '"***@mail.example.org:25"'),
        ("https://hooks.example.org/services/T0/hunter2", '"https://hooks.example.org/…"'),
        ("hooks.example.org/services/T0/hunter2", '"hooks.example.org/…"'),
        ("https://example.org:99999/", '"https://example.org:99999/"'),
        ("Authorization: Bearer hunter2", '"Authorization: ***"'),
        ("basic hunter2", '"basic ***"'),
        ("api_key=hunter2", '"api_key=***"'),
        ("xoxb-1234567890-abcdef", '"***"'),
        ("AbCdEf0123456789AbCdEf01", '"***"'),
        ("-----BEGIN PRIVATE KEY-----\nhunter2", '"***"'),
        ("web-frontend-production-01", '"web-frontend-production-01"'),
        ("localhost:25", '"localhost:25"'),
        ("Mon..Fri *-*-* 09:00:00", '"Mon..Fri *-*-* 09:00:00"'),
        ({}, "{}"),
        ({"password": "hunter2"}, "{ … }"),
        ([1, "a", [2], []], '[1, "a", […], []]'),
        (list(range(10)), "[0, 1, 2, 3, 4, 5, 6, 7, …]"),
    ],
    ids=str,
)
def test_value_is_shown_as_in_toml(value: object, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (("monitors", "a", "basic_auth"), ""),
        (("monitors", "a", "basic_auth", "username"), ""),
        (("monitors", "a", "headers", "A"), ""),
        (("notifiers", "a", "routing_key"), ""),
        (("status", "token", 0), ""),
        (("monitors", "password"), ""),
        (("monitors", "token-service", "check_every"), '"x" '),
        (("monitors", "a", "client_key_file"), '"x" '),
        (("auto", "units"), '"x" '),
        (("log",), '"x" '),
    ],
    ids=str,
)
def test_value_of_a_key_for_secrets_is_not_shown(path: Path, shown: str) -> None:
    assert subject_text(path, "x") == shown


def test_long_value_is_shortened() -> None:
    for value in ("x" * 1000, 10**1000, 10**100_000, ["x" * 30] * 8):
        assert len(value_text(value)) <= MAX_SHOWN_CHARACTERS + 2
        assert "…" in value_text(value)


@given(st.text(max_size=MAX_SHOWN_CHARACTERS).filter(lambda text: "@" not in text))
def test_shown_text_is_valid_toml_on_one_line(text: str) -> None:
    shown = value_text(text)
    assert shown.isprintable()
    assert tomli.loads(f"a = {shown}") == {"a": text}
