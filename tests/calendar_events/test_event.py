"""Calendar events by themselves: what they are, what they refuse, and when they come."""

import os
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.calendar_events import CalendarEvent, parse_calendar_event
from monitord.calendar_events.zones import is_zone


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("hourly", "*-*-* *:00:00"),
        ("weekly UTC", "Mon *-*-* 00:00:00 UTC"),
        ("semi-annually Europe/Berlin", "*-01,07-01 00:00:00 Europe/Berlin"),
        ("  Sat,Thu,Mon..Wed,Sat..Sun ", "Mon..Thu,Sat,Sun *-*-* 00:00:00"),
        ("12,14,13,12:20,10,30", "*-*-* 12,13,14:10,20,30:00"),
        ("mon,fri *-1/2-1,3 *:30:45", "Mon,Fri *-01/2-01,03 *:30:45"),
        ("05:40:23.4200004/3.1700005", "*-*-* 05:40:23.420000/3.170001"),
        ("*-05~07/1", "*-05~07/1 00:00:00"),
        ("@1234567890", "2009-02-13 23:31:30 UTC"),
        ("Mon..Sun 9:00", "*-*-* 09:00:00"),
    ],
)
def test_text_of_an_event_is_its_normal_form(text: str, normal: str) -> None:
    event = parse_calendar_event(text)
    assert str(event) == normal
    assert parse_calendar_event(normal) == event


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not a calendar event; write an event such as"),
        ("tomorrow", "is not a calendar event: 'tomorrow' is not a weekday; write"),
        ("25:00", "is not a calendar event: the hour must be from 0 to 23; write"),
        ("*-13-01", "is not a calendar event: the month must be from 1 to 12; write"),
        ("*-*-32", "the day must be from 1 to 31"),
        ("*:*:60", "the second must be from 0 to 59"),
        ("Fri..Mon", "a range of weekdays cannot continue after Sunday"),
        ("Mon..", "a range of weekdays has no end"),
        ("Mon,Bad", "'Bad' is not a weekday"),
        ("9.30", "is not a calendar event; write"),
        ("9:3o", "the minute '3o' is not a number, a range 1..5 or a repetition 0/15"),
        ("*:50/15", "the minute never repeats: 50 plus 15 is greater than 59"),
        ("*:0/0", "the minute 0/0 has a repetition of 0"),
        ("5..3:00", "the hour 5..3 ends before it begins"),
        ("*:*:1..1.5", "the second 1..1.5 is a range of less than a second"),
        ("10:00 Europe/Nowhere", "the time zone Europe/Nowhere does not exist on this host"),
        ("10:00 ../etc", "'10:00 ../etc' is not a time of day"),
        ("@4e9", "@ must be followed only by seconds since 1970"),
        ("@99999999999999999999", "it is too far in the future"),
        ("2" * 40 + ":00", "is too large"),
        ("1," * 600 + "1:00", "it is longer than 1000 characters"),
        ("1," * 300 + "1:00", "the hour has more than 240 parts"),
    ],
)
def test_error_names_the_problem_and_an_example(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^is not a calendar event") as rejected:
        parse_calendar_event(text)
    assert problem in str(rejected.value)
    assert str(rejected.value).count("; ") == 1


@given(st.text(alphabet="0123456789*-~:,./ @MonTueFriUTC", max_size=40))
def test_any_text_is_parsed_or_rejected_with_a_hint(text: str) -> None:
    event, rejected = None, ""
    try:
        event = parse_calendar_event(text)
    except ValueError as error:
        rejected = str(error)
    if event is None:
        assert "; write " in rejected
    else:
        assert parse_calendar_event(str(event)) == event


@pytest.mark.parametrize(
    "text", ["*-02-30", "*-02-30 *:*:*", "Mon *-02-30", "2-31 12:00 Europe/Berlin", "1999-1-1"]
)
def test_search_without_further_occurrences_ends(text: str) -> None:
    event = parse_calendar_event(text)
    assert event.next_after(at("2026-01-01")) is None
    assert event.is_possible is (text == "1999-1-1")


def test_there_is_no_occurrence_after_2199_or_before_1970() -> None:
    event = parse_calendar_event("daily UTC")
    assert event.next_after(at("2199-12-31T12:00")) is None
    assert event.next_after(at("2199-12-30T12:00")) == at("2199-12-31")
    assert event.previous_or_at(at("1969-06-01")) is None
    assert event.previous_or_at(at("1970-01-01")) == at("1970-01-01")


def test_days_count_from_the_end_of_each_month() -> None:
    event = parse_calendar_event("*-*~03..01 UTC".replace("03..01", "01..03"))
    day = at("2028-02-01")
    found = []
    for _ in range(7):
        following = event.next_after(day)
        assert following is not None
        day = following
        found.append(f"{day:%m-%d}")
    assert found == ["02-27", "02-28", "02-29", "03-29", "03-30", "03-31", "04-28"]


@pytest.mark.parametrize("text", ["*~29", "*~30", "*-*~31", "*-02~29..31", "*-*~1,29", "*~27..29"])
def test_days_from_the_end_go_back_to_the_28th_as_in_systemd(text: str) -> None:
    with pytest.raises(ValueError, match="the day from the end of the month must be from 1 to 28"):
        parse_calendar_event(text)


@pytest.mark.parametrize("text", ["*~27,9", "*-*~28,27,26,25", "  *~28  ", "*~28  UTC"])
def test_texts_that_only_systemd_252_rejects_are_accepted(text: str) -> None:
    assert parse_calendar_event(text).is_possible


def test_zone_with_leap_seconds_is_rejected() -> None:
    if is_zone("right/UTC"):
        with pytest.raises(ValueError, match="right/UTC counts leap seconds"):
            parse_calendar_event("daily right/UTC")
    with pytest.raises(ValueError, match="is not a calendar event"):
        parse_calendar_event("daily right/UTC")


BERLIN = "Europe/Berlin"


def test_time_skipped_in_spring_does_not_occur() -> None:
    event = parse_calendar_event(f"02:30 {BERLIN}")
    assert event.next_after(at("2026-03-28T12:00")) == at("2026-03-30T00:30")
    assert event.previous_or_at(at("2026-03-29T12:00")) == at("2026-03-28T01:30")
    often = parse_calendar_event(f"*:0/20 {BERLIN}")
    assert often.next_after(at("2026-03-29T00:40")) == at("2026-03-29T01:00")
    assert often.previous_or_at(at("2026-03-29T00:59")) == at("2026-03-29T00:40")


def test_time_repeated_in_autumn_occurs_once() -> None:
    event = parse_calendar_event(f"02:30 {BERLIN}")
    assert event.next_after(at("2026-10-24T12:00")) == at("2026-10-25T00:30")
    assert event.next_after(at("2026-10-25T00:30")) == at("2026-10-26T01:30")
    assert event.next_after(at("2026-10-25T01:10")) == at("2026-10-26T01:30")
    assert event.previous_or_at(at("2026-10-25T01:45")) == at("2026-10-25T00:30")
    often = parse_calendar_event(f"*:0/20 {BERLIN}")
    assert often.next_after(at("2026-10-25T01:10")) == at("2026-10-25T02:00")
    assert often.previous_or_at(at("2026-10-25T01:50")) == at("2026-10-25T00:40")


def test_offset_change_of_half_an_hour_is_handled() -> None:
    event = parse_calendar_event("*:0/10 Australia/Lord_Howe")
    # 02:00 becomes 02:30 on 2026-10-04, and 02:00 becomes 01:30 on 2026-04-05.
    assert event.next_after(at("2026-10-03T15:20")) == at("2026-10-03T15:30")
    assert event.next_after(at("2026-04-04T14:55")) == at("2026-04-04T15:30")


def test_day_that_a_zone_skipped_does_not_occur() -> None:
    event = parse_calendar_event("12:00 Pacific/Apia")
    assert event.next_after(at("2011-12-29T23:00")) == at("2011-12-30T22:00")
    assert parse_calendar_event("2011-12-30 Pacific/Apia").next_after(at("2011-12-01")) is None


def test_moments_may_be_in_any_zone() -> None:
    event = parse_calendar_event("10:00 UTC")
    assert event.next_after(datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=3)))) == at(
        "2026-01-01T10:00"
    )


def test_event_without_a_zone_is_in_local_time() -> None:
    script = (
        "from datetime import UTC, datetime\n"
        "from monitord.calendar_events import parse_calendar_event\n"
        "event = parse_calendar_event('*:0/30')\n"
        "moment = datetime(2026, 10, 24, 23, 45, tzinfo=UTC)\n"
        "for _ in range(4):\n"
        "    moment = event.next_after(moment)\n"
        "    print(f'{moment:%H:%M}', f'{event.previous_or_at(moment):%H:%M}', end=' ')\n"
        "print(parse_calendar_event('02:30').next_after(datetime(2026, 3, 28, 12, tzinfo=UTC)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TZ": BERLIN},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "00:00 00:00 00:30 00:30 02:00 02:00 02:30 02:30 2026-03-30 00:30:00+00:00\n"


EVENTS = [
    "*:0/17",
    "Mon..Fri 9..17:30 Europe/Berlin",
    "*-*~02 Europe/Berlin",
    "1..3:0/20:30 America/New_York",
    "*-02-29 02:30:00.25 UTC",
    "*:*:10.5/7.3 UTC",
]


@pytest.mark.parametrize("text", EVENTS)
@given(seed=st.integers(0, 2**32))
def test_next_and_previous_occurrence_are_inverse(text: str, seed: int) -> None:
    event: CalendarEvent = parse_calendar_event(text)
    # Close to the changes of the clock in both zones, or anywhere.
    chance = random.Random(seed)
    base = chance.choice(
        [at("2026-03-29"), at("2026-10-25"), at("2026-03-08"), at("2026-11-01"), at("2020-01-01")]
    )
    spread_s = 2 * 86400 if base.year == 2026 else 8 * 366 * 86400
    moment = base + timedelta(seconds=chance.uniform(-spread_s, spread_s))
    following = event.next_after(moment)
    assert following is not None
    assert following > moment
    assert event.previous_or_at(following) == following
    before = event.previous_or_at(moment)
    assert before is not None
    assert before <= moment
    assert event.next_after(before) == following
