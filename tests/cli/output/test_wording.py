"""The formats of times, ratios and external texts."""

import time

import pytest

from monitord.cli.output.result_view import exact_time
from monitord.cli.output.wording import (
    LocalTimes,
    acknowledgement,
    cells,
    clock_time,
    coarse,
    local_with_zone,
    percent,
    short_time,
    shorten,
    shorten_within,
    span,
    value,
)
from monitord.text import plain


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.4, "0s"),
        (59.9, "59s"),
        (61, "1m1s"),
        (3599, "59m59s"),
        (3661, "1h1m"),
        (90061, "1d1h"),
        (86400, "1d"),
    ],
)
def test_duration_has_its_two_largest_units(seconds: float, expected: str) -> None:
    assert span(seconds) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(3, "3s"), (119, "1m"), (7300, "2h"), (200000, "2d")])
def test_age_has_one_unit(seconds: float, expected: str) -> None:
    assert coarse(seconds) == expected


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(None, "-"), (1.0, "100.000 %"), (0.99999999, "99.999 %"), (0.5, "50.000 %"), (0.0, "0.000 %")],
)
def test_uptime_is_not_rounded_up_to_100_percent(ratio: float | None, expected: str) -> None:
    assert percent(ratio) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(None, "-"), (0.0123, "12.3 ms"), (1.5, "1.50 s"), (90.2, "1m30s")]
)
def test_response_time_is_rounded(seconds: float | None, expected: str) -> None:
    assert short_time(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0671234, "67.123 ms"),
        (2.004, "2.004 s"),
        (1220400.0, "14d3h"),
        (-5.2957, "-5.296 s"),
        (-90.0, "-1m30s"),
    ],
)
def test_times_of_a_result_are_exact(seconds: float, expected: str) -> None:
    assert exact_time(seconds) == expected


def test_plain_text_is_one_printable_line() -> None:
    assert plain("a\x1b[31mb\nc\u202ed\tcafé") == "a [31mb c d café"


@pytest.mark.parametrize(
    ("field", "expected"), [(True, "true"), (None, "-"), (["a", "b"], "a, b"), (3, "3"), ("x\n", "x ")]
)
def test_field_is_formatted_by_its_type(field: object, expected: str) -> None:
    assert value(field) == expected


def test_truncated_text_ends_with_an_ellipsis() -> None:
    assert (shorten("abcdef", 6), shorten("abcdef", 5)) == ("abcdef", "abcd…")


def test_acknowledgement_is_formatted_with_and_without_a_comment() -> None:
    assert acknowledgement({"acknowledged_by": None, "comment": None}) == ""
    assert acknowledgement({"acknowledged_by": "kim", "comment": "on it"}) == "acknowledged by kim: on it"
    assert acknowledgement({"acknowledged_by": "kim", "comment": None}) == "acknowledged by kim"


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("監視サーバー", 12, "監視サーバー"),
        ("監視サーバー", 11, "監視サーバ…"),
        ("監視サーバー", 10, "監視サー…"),
        ("cafe\u0301s", 5, "cafe\u0301s"),
        ("cafe\u0301s", 4, "caf…"),
        ("caffe\u0301 nero", 6, "caffe\u0301…"),
        ("abc", None, "abc"),
        ("abc", 0, ""),
    ],
)
def test_text_is_truncated_by_terminal_cells(text: str, columns: int | None, expected: str) -> None:
    assert shorten(text, columns) == expected


def test_middle_is_truncated_by_terminal_cells() -> None:
    shown = shorten_within("監視サーバー-01.example.org", 11)
    assert (shown, cells(shown)) == ("監視…e.org", 10)


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", "down since 2026-01-01 12:00:00 UTC, last at 2026-07-01 12:00:00; see 2026-01-01T99"),
        (
            "Europe/Berlin",
            "down since 2026-01-01 13:00:00 CET, last at 2026-07-01 14:00:00 CEST; see 2026-01-01T99",
        ),
    ],
)
def test_local_times_name_the_zone_once(monkeypatch: pytest.MonkeyPatch, zone: str, expected: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    times = LocalTimes()
    text = "down since 2026-01-01 12:00:00 UTC, last at"
    assert f"{times.in_text(text)} {times.moment('2026-07-01T12:00:00.123Z')}; see 2026-01-01T99" == expected


def test_long_name_is_shortened_in_the_middle() -> None:
    assert shorten_within("web-01", 6) == "web-01"
    assert shorten_within("web-01.eu-central.example.org", 12) == "web-01….org"[:6] + "…e.org"


@pytest.mark.parametrize(
    ("zone", "moment"), [("Asia/Tokyo", "9999-12-31T23:59:59Z"), ("America/New_York", "0001-01-01T00:00:00Z")]
)
def test_time_whose_year_does_not_exist_in_the_zone_is_shown_in_utc(
    monkeypatch: pytest.MonkeyPatch, zone: str, moment: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    assert local_with_zone(moment).endswith("UTC")
    assert LocalTimes().moment(moment).endswith("UTC")
    assert clock_time(moment) == moment[11:19]
