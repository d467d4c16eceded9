"""Maintenance windows: when they are open, for which monitors, and errors of impossible ones."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.calendar_events import parse_calendar_event
from monitord.config import read_document
from monitord.errors import ConfigError
from monitord.health import TimeWindow, maintenance_of, read_windows

NAMES = {"gateway", "web-1", "web-2", "mail"}
TAGS = {"prod", "office"}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def scheduled(schedule: str, hours: float, name: str = "night") -> TimeWindow:
    return TimeWindow(name, hours * 3600.0, schedule=parse_calendar_event(schedule))


NIGHT = scheduled("22:00 UTC", 8)
MOVE = TimeWindow("move", 3600.0, begins_at=at("2026-03-01T20:00"))


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-01-01T21:59:59.999999", False),
        ("2026-01-01T22:00", True),
        ("2026-01-02T05:59:59.999999", True),
        ("2026-01-02T06:00", False),
    ],
)
def test_window_is_open_from_its_start_until_before_its_end(moment: str, is_open: bool) -> None:
    assert NIGHT.is_open(at(moment)) is is_open


def test_open_window_reports_its_closing_time() -> None:
    assert NIGHT.closes_after(at("2026-01-01T23:00")) == at("2026-01-02T06:00")
    assert NIGHT.closes_after(at("2026-01-01T12:00")) is None


def test_window_without_a_schedule_opens_once() -> None:
    assert MOVE.closes_after(at("2026-03-01T20:00")) == at("2026-03-01T21:00")
    assert not MOVE.is_open(at("2026-03-01T19:59"))
    assert MOVE.closes_after(at("2026-03-01T21:00")) is None


def test_overlapping_and_adjacent_times_are_merged() -> None:
    overlapping = scheduled("Sat,Sun 00:00 UTC", 25)
    assert overlapping.closes_after(at("2026-01-03T12:00")) == at("2026-01-05T01:00")
    touching = scheduled("Sat,Sun 00:00 UTC", 24)
    assert touching.closes_after(at("2026-01-03T12:00")) == at("2026-01-05T00:00")


def test_window_that_never_closes_has_no_end() -> None:
    always = scheduled("hourly UTC", 2)
    moment = at("2026-01-01T00:30")
    assert always.is_open(moment)
    assert always.closes_after(moment) is None


@pytest.mark.parametrize(
    ("window", "most", "times"),
    [
        (NIGHT, 2, [("2026-01-01T22:00", "2026-01-02T06:00"), ("2026-01-02T22:00", "2026-01-03T06:00")]),
        (NIGHT, 9, [(f"2026-01-0{day}T22:00", f"2026-01-0{day + 1}T06:00") for day in range(1, 5)]),
        (scheduled("*-*-02 00:00 UTC", 5), 9, [("2026-01-02T00:00", "2026-01-02T05:00")]),
        (scheduled("*-*-02 01:00 UTC", 5), 9, [("2026-01-02T01:00", "2026-01-02T06:00")]),
        (scheduled("2026-01-02,03 00:00 UTC", 24), 9, [("2026-01-02T00:00", "2026-01-04T00:00")]),
        (
            TimeWindow("once", 60.0, begins_at=at("2026-01-04T00:00")),
            9,
            [("2026-01-04T00:00", "2026-01-04T00:01")],
        ),
        (MOVE, 9, []),
        (TimeWindow("past", 60.0, begins_at=at("2026-01-01T00:00")), 9, []),
    ],
    ids=["limited", "open first", "opens later", "open", "adjacent", "once", "after the period", "closed"],
)
def test_window_lists_the_times_that_are_open_in_a_period(
    window: TimeWindow, most: int, times: list[tuple[str, str]]
) -> None:
    found = window.times(at("2026-01-02T03:00"), at("2026-01-05"), most)
    assert found == [(at(opens), at(closes)) for opens, closes in times]


def test_window_without_a_known_end_is_listed_once() -> None:
    always = scheduled("hourly UTC", 2)
    assert always.times(at("2026-01-02T03:30"), at("2026-01-05"), 9) == [(at("2026-01-02T03:00"), None)]


def test_duration_is_elapsed_time() -> None:
    in_spring = scheduled("2026-03-29 01:00 Europe/Berlin", 3)
    assert in_spring.closes_after(at("2026-03-29T00:00")) == at("2026-03-29T03:00")


@pytest.mark.parametrize(
    ("monitors", "tags", "name", "of", "is_meant"),
    [
        ((), (), "mail", (), True),
        (("mail",), (), "mail", (), True),
        (("mail",), (), "mail-2", (), False),
        (("web-*",), (), "web-1", (), True),
        (("web-?", "[gm]*"), (), "gateway", (), True),
        (("web-*",), (), "WEB-1", (), False),
        ((), ("prod",), "mail", ("prod", "x"), True),
        ((), ("prod",), "mail", (), False),
        ((), ("prod", "x"), "mail", ("prod", "x", "y"), True),
        ((), ("prod", "x"), "mail", ("prod",), False),
        (("web-*",), ("prod",), "web-1", ("prod",), True),
        (("web-*",), ("prod",), "mail", ("prod",), False),
        (("web-*",), ("prod",), "web-1", ("office",), False),
    ],
)
def test_window_applies_to_its_monitors_or_to_all(
    monitors: tuple[str, ...], tags: tuple[str, ...], name: str, of: tuple[str, ...], is_meant: bool
) -> None:
    assert TimeWindow("x", 1.0, monitors=monitors, tags=tags).matches(name, of) is is_meant


def test_open_window_that_matches_a_monitor_applies() -> None:
    mail = TimeWindow("mail", 7200.0, begins_at=at("2026-03-01T19:00"), monitors=("mail",))
    windows = (mail, MOVE)
    for moment, name, window in (
        ("2026-03-01T18:59", "mail", None),
        ("2026-03-01T19:30", "mail", mail),
        ("2026-03-01T19:30", "web", None),
        ("2026-03-01T20:30", "mail", mail),
        ("2026-03-01T20:30", "web", MOVE),
    ):
        assert maintenance_of(windows, name, (), at(moment)) is window


def test_last_of_several_open_windows_to_close_applies() -> None:
    short = TimeWindow("short", 600.0, begins_at=at("2026-03-01T20:00"))
    nightly = TimeWindow("nightly", 7200.0, schedule=parse_calendar_event("20:00 UTC"))
    endless = TimeWindow("endless", 3600.0, schedule=parse_calendar_event("*:0/20"))
    for windows, wanted in (((short, MOVE), MOVE), ((MOVE, short), MOVE), ((MOVE, nightly), nightly)):
        assert maintenance_of(windows, "web", (), at("2026-03-01T20:05")) is wanted
    assert maintenance_of((nightly, endless), "web", (), at("2026-03-01T20:05")) is endless


@given(
    st.sampled_from(["*:0/20", "Mon..Fri 9..11:00", "*-*~1,2 *:10"]),
    st.integers(1, 200),
    st.integers(0, 10**7),
)
def test_window_opens_and_closes_exactly_at_the_times_that_it_reports(
    schedule: str, minutes: int, after_s: int
) -> None:
    window = scheduled(f"{schedule} Europe/Berlin", minutes / 60)
    moment = at("2026-01-01") + timedelta(seconds=after_s)
    assert window.schedule is not None
    change = window.closes_after(moment) if window.is_open(moment) else window.schedule.next_after(moment)
    end = change or moment + timedelta(days=1)
    assert end > moment
    for part in range(12):
        assert window.is_open(moment + (end - moment) * part / 12) is window.is_open(moment)
    if change is not None:
        assert window.is_open(change) is not window.is_open(moment)


# From the configuration


def read(tmp_path: Path, keys: str) -> TimeWindow:
    config = tmp_path / "monitord.toml"
    config.write_text(f"[maintenance.x]\n{keys}\n")
    document = read_document(config)
    (window,) = read_windows(document.root.table("maintenance"), NAMES, TAGS)
    document.check()
    return window


@pytest.mark.parametrize(
    ("keys", "window"),
    [
        (
            'schedule = "22:00 UTC"\nduration = "8h"\ntags = ["prod"]\ncomment = "patches"',
            TimeWindow("x", 28800.0, parse_calendar_event("22:00 UTC"), tags=("prod",), comment="patches"),
        ),
        (
            'from = 2026-03-01T20:00:00Z\nuntil = 2026-03-01T22:30:00+01:00\nmonitors = ["web-?", "mail"]',
            TimeWindow("x", 5400.0, begins_at=at("2026-03-01T20:00"), monitors=("web-?", "mail")),
        ),
        (
            'schedule = "22:00 UTC"\nduration = 60\nmonitors = ["unit:*"]',
            TimeWindow("x", 60.0, parse_calendar_event("22:00 UTC"), monitors=("unit:*",)),
        ),
        (
            "from = 2026-03-01T20:00:00Z\nduration = 60",
            TimeWindow("x", 60.0, begins_at=at("2026-03-01T20:00")),
        ),
        (
            "from = 2026-03-01T20:00:00Z\nuntil = 2026-03-01T20:00:01Z",
            TimeWindow("x", 1.0, begins_at=at("2026-03-01T20:00")),
        ),
    ],
)
def test_every_key_is_read(tmp_path: Path, keys: str, window: TimeWindow) -> None:
    assert read(tmp_path, keys) == window


def test_last_time_of_a_schedule_may_still_be_open(tmp_path: Path) -> None:
    """A restart during the last maintenance must not fail, nor a reload."""
    began_at = datetime.now(UTC) - timedelta(hours=2)
    keys = f'schedule = "{began_at:%Y-%m-%d %H:%M:%S} UTC"\nduration = '
    assert read(tmp_path, f'{keys}"2d"').duration_s == 172_800
    with pytest.raises(ConfigError, match="has only past times"):
        read(tmp_path, f'{keys}"1h"')


def test_time_without_an_offset_is_local_time() -> None:
    script = (
        "from pathlib import Path; from tempfile import TemporaryDirectory\n"
        "from tests.health.test_windows import read\n"
        "with TemporaryDirectory() as path:\n"
        "    print(read(Path(path), 'from = 2026-07-01T20:00:00\\nduration = 60').begins_at)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TZ": "Europe/Berlin"},
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2026-07-01 18:00:00+00:00\n"


@pytest.mark.parametrize(
    ("keys", "failure"),
    [
        ("", 'maintenance.x: has no time; write schedule = "Sun 03:00" and duration = "2h", or from and'),
        ('schedule = "03:00"', 'schedule: has no duration; write duration = "2h"'),
        ('schedule = "3 Uhr"\nduration = 60', 'schedule: "3 Uhr" is not a calendar event'),
        ('schedule = "*-2-30"\nduration = 60', 'schedule: "*-02-30 00:00:00" has no time; write a date that'),
        (
            'schedule = "1999-12-31 22:00"\nduration = "8h"',
            'schedule: "1999-12-31 22:00:00" has only past times; write a later date',
        ),
        ("from = 2026-01-01T00:00:00", 'from: has no end; write until = 2026-12-25T06:00:00 or duration = "8h"'),
        ("until = 2026-01-01T00:00:00", "until: has no from; write from = 2026-12-24T22:00:00"),
        ("from = 2026-01-02T00:00:00\nuntil = 2026-01-02T00:00:00", "until: is not after from; write a later"),
        (
            "from = 2026-01-01T00:00:00\nuntil = 2026-01-02T00:00:00\nduration = 60",
            "duration: cannot be combined with from and until; remove duration or until",
        ),
        (
            'schedule = "daily"\nduration = 60\nfrom = 2026-01-02T00:00:00',
            "from: cannot be combined with schedule; write schedule and duration, or from and until",
        ),
        ('schedule = "daily"\nduration = "500ms"', 'duration: "500ms" is too small; write at least 1s'),
        ('schedule = "daily"\nduration = "367d"', 'duration: "367d" is too large; write at most 366d'),
        (
            'schedule = "daily"\nduration = 60\nuntil = 2026-01-02T00:00:00',
            "until: cannot be combined with schedule; write schedule and duration, or from and until",
        ),
        ("from = 2026-01-01\nduration = 60", "from: 2026-01-01 has no time of day; write it without quotes, such"),
        ('from = "soon"\nduration = 60', 'from: "soon" is not a date with a time; write it without quotes'),
        (
            'schedule = "daily"\nduration = 60\nmonitors = ["gatewy"]',
            'monitors: "gatewy" matches no monitor; did you mean "gateway"?',
        ),
        (
            'schedule = "daily"\nduration = 60\nmonitors = ["mal*"]',
            'monitors: "mal*" matches no monitor; did you mean "mail"?',
        ),
        (
            'schedule = "daily"\nduration = 60\nmonitors = ["zzz"]',
            'monitors: "zzz" matches no monitor; write the name of a monitor, or a pattern',
        ),
        (
            'schedule = "daily"\nduration = 60\nmonitors = ["unit:*", "zzz"]',
            'monitors: "zzz" matches no monitor; write the name of a monitor, or a pattern',
        ),
        (
            'schedule = "daily"\nduration = 60\ntags = ["zzz"]',
            'tags: no monitor has the tag "zzz"; write a tag that a monitor has',
        ),
        (
            'schedule = "daily"\nduration = 60\ntags = ["prd"]',
            'tags: no monitor has the tag "prd"; did you mean "prod"?',
        ),
        ('schedule = "daily"\nduration = 60\nmonitor = "mail"', 'monitor: unknown key; did you mean "monitors"?'),
    ],
)  # fmt: skip
def test_impossible_window_is_an_error_with_a_hint(tmp_path: Path, keys: str, failure: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, keys)
    assert len(raised.value.diagnostics) == 1, raised.value
    assert failure in str(raised.value)
