"""Numbers in words: with units, and never better than they are."""

from datetime import UTC, datetime

import pytest

from monitord.model import State
from monitord.status.pages import wording


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (None, "\N{EN DASH}"),
        (1.0, "100 %"),
        (0.999999, "99.99 %"),
        (0.9998, "99.98 %"),
        (0.98, "98.00 %"),
        (0.0, "0 %"),
        (0.00001, "0 %"),
        (1 - 0.0003, "99.97 %"),
    ],
)
def test_percentage_is_rounded_down(ratio: float | None, said: str) -> None:
    assert wording.percent(ratio) == said


@pytest.mark.parametrize(
    ("value_s", "said"),
    [
        (None, "\N{EN DASH}"),
        (0.0, "0 ms"),
        (0.00002, "< 0.1 ms"),
        (0.0042, "4.2 ms"),
        (0.31, "310 ms"),
        (2.5, "2.50 s"),
        (90.0, "90 s"),
        (123456.0, "123,456 s"),
    ],
)
def test_measured_time_has_its_unit(value_s: float | None, said: str) -> None:
    assert wording.seconds(value_s) == said


@pytest.mark.parametrize(
    ("value_s", "said"),
    [
        (None, "\N{EN DASH}"),
        (0.4, "0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3601, "1 h"),
        (93784, "1 d 2 h"),
        (400 * 86400, "400 d"),
        (-5, "0 s"),
    ],
)
def test_span_is_shown_in_its_two_largest_units(value_s: float | None, said: str) -> None:
    assert wording.span(value_s) == said


@pytest.mark.parametrize(
    ("value_s", "said"),
    [
        (0.0, "0 ms"),
        (0.0042, "4.2 ms"),
        (-0.31, "-310 ms"),
        (59.4, "59 s"),
        (59.9, "60 s"),
        (60, "1 min"),
        (93784.0, "1 d 2 h"),
        (-93784, "-1 d 2 h"),
    ],
)
def test_duration_of_any_length_has_its_unit(value_s: float, said: str) -> None:
    assert wording.duration(value_s) == said


@pytest.mark.parametrize(
    ("value_bytes", "said"),
    [(None, "\N{EN DASH}"), (0, "0 B"), (999, "999 B"), (1572864, "1.5 MiB"), (2**60, "1 EiB")],
)
def test_size_has_its_unit(value_bytes: float | None, said: str) -> None:
    assert wording.size(value_bytes) == said


U, D, G, N, X, P, R = (
    State.UP,
    State.DOWN,
    State.DEGRADED,
    State.UNKNOWN,
    State.UNREACHABLE,
    State.PENDING,
    State.PAUSED,
)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, "No monitors configured yet"),
        ({U: 412}, "All 412 monitors are up"),
        ({U: 1}, "The only monitor is up"),
        ({D: 1}, "The only monitor is down"),
        ({U: 410, D: 2}, "2 of 412 monitors are down"),
        ({U: 1411, D: 1}, "1 of 1,412 monitors is down"),
        ({U: 9, D: 1, X: 3, N: 1, G: 2}, "1 of 16 monitors is down, 3 unreachable, 1 unknown, 2 degraded"),
        ({U: 9, G: 1}, "1 of 10 monitors is degraded"),
        ({U: 9, P: 1}, "9 monitors are up, 1 not checked yet"),
        ({U: 1, R: 2}, "1 monitor is up, 2 paused"),
        ({P: 3}, "3 monitors not checked yet"),
        ({R: 3}, "All monitors are paused"),
    ],
)
def test_headline_shows_the_worst_state(counts: dict[State, int], said: str) -> None:
    assert wording.headline(counts) == said


def test_times_are_shown_in_utc() -> None:
    at = datetime.fromisoformat("2026-11-26T16:02:07.123456+02:00")
    assert wording.moment(at) == "2026-11-26 14:02:07 UTC"
    assert wording.machine_time(at) == "2026-11-26T14:02:07Z"
    assert datetime.fromisoformat(wording.machine_time_exact(at)) == at
    assert (wording.clock(at), wording.day(at)) == ("14:02", "26 Nov")
    assert wording.moment(None) == wording.NOT_KNOWN
    assert wording.machine_time_exact(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000000Z"
