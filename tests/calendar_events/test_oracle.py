"""The same answers as systemd gives: over a table, and over expressions put together at random with fixed seeds."""

import random
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from monitord.calendar_events import CalendarEvent, parse_calendar_event
from tests.calendar_events.oracle import PROGRAM, ask

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="systemd-analyze is not installed")

ITERATIONS = 6
A_BATCH = 50

# Those of systemd.time(7) and of its own test-calendarspec.c, and what lies at the edges of the grammar.
TABLE = """
Sat,Thu,Mon..Wed,Sat..Sun
Mon,Sun 12-*-* 2,1:23
Wed *-1
Wed..Wed,Wed *-1
Wed, 17:48
Wed..Sat,Tue 12-10-15 1:2:3
*-*-7 0:0:0
10-15
monday *-12-* 17:00
Mon,Fri *-*-3,1,2 *:30:45
12,14,13,12:20,10,30
12..14:10,20,30
mon,fri *-1/2-1,3 *:30:45
03-05 08:05:40
08:05:40
05:40
Sat,Sun 12-05 08:05:40
Sat,Sun 08:05:40
2003-03-05 05:40
05:40:23.4200004/3.1700005
2003-02..04-05
2003-03-05 05:40 UTC
2003-03-05
03-05
hourly
daily
daily UTC
monthly
weekly
weekly UTC
yearly
annually
minutely
quarterly
semiannually
Hourly Pacific/Auckland
*:2/3
2015-10-25 01:00:00 uTc
2030-10-25 01:00:00 Europe/Berlin
*-*~1
*-02~03,05
*-05~07/1
Mon *-05~07/1
*-*~01..05
*-*~1..9/2
*~28
*~29
*~30
*~31
*-*~29
*-*~30
*-*~31
*-02~29..31
*-*~27..29
*-*~1..28
*-*~28/27
*-*~28/28
*-*~0
~1
2026-12~29 10:00
Mon *-*~28 UTC
Mon *-*~29 UTC
@1234567890
@4102444800
Mon..Sun
Fri,
Mon-Fri
SAT 10:00
*:*:*
*:*:0/1
*:*:30..40/5
*:*:1.5..4.5/0.5
*:*:0..59
*:*:0.0000005
*:*:59.999999
00..23:00
0/2:00
10/3:30
20..23,0..3:15
1..1:00
1..5/10:00
*-*-*
2-30
2-29
*-02-29 12:00
70-1-1
2199-12-31
*-*-31
Mon *-02-29
2-29 02:30 Europe/Berlin
*-13-1
0-1
24:00
*:60
*:*:60
50/15:00
*:50/15
*:*:0/60
5..3:00
*:0/0
Fri..Mon
Mon..
Mon..Tue..Wed
Mon,,Tue
Monx
Mon.Tue
*-*~02/5
*-*-* *
*-*
-1
1-
~1
1~1~1
*:*:*:*
10:00 Europe/Nowhere
10:00 Europe
UTC
@
@12x
noon
tomorrow
*:1.5
*:*:1.
*:*:1..1.5
*:*:1..2
1.5:00
1970-1-1
1969-1-1
2200-1-1
*-*-* 0:0:0 0
10 : 00
""".strip().splitlines()  # fmt: skip

STARTS = [
    datetime(2026, 1, 1, 0, 0, tzinfo=UTC),
    datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC),
    datetime(2028, 2, 20, 11, 7, 13, tzinfo=UTC),
]
# Both changes of the clock in the zones that are put together with, one of them with half an hour.
CHANGES = [
    datetime(2026, 3, 28, 22, 10, tzinfo=UTC),
    datetime(2026, 10, 24, 20, 40, tzinfo=UTC),
    datetime(2026, 4, 4, 13, 40, tzinfo=UTC),
    datetime(2026, 10, 3, 13, 10, tzinfo=UTC),
]
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Kolkata", "UTC"]


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    """systemd-analyze is asked for times in UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def ours(text: str) -> CalendarEvent | None:
    try:
        return parse_calendar_event(text)
    except ValueError:
        return None


def elapses(event: CalendarEvent, base: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    at: datetime | None = base
    while len(found) < count and at is not None and (at := event.next_after(at)) is not None:
        found.append(at)
    return found


def differences(texts: Iterable[str], base: datetime) -> list[str]:
    found = []
    texts = list(texts)
    for at in range(0, len(texts), A_BATCH):
        batch = texts[at : at + A_BATCH]
        for text, said in zip(batch, ask(batch, base, ITERATIONS), strict=True):
            event = ours(text)
            if (None if event is None else str(event)) != said.normal:
                found.append(f"{text!r}: {event}, systemd {said.normal}")
            elif event is not None:
                seen = [moment.replace(microsecond=0) for moment in elapses(event, base, ITERATIONS)]
                if seen != said.elapses:
                    found.append(f"{text!r} from {base}: {seen}, systemd {said.elapses}")
    return found


@pytest.mark.parametrize("base", STARTS, ids=str)
def test_table_is_parsed_as_by_systemd(base: datetime) -> None:
    assert differences(dict.fromkeys(TABLE), base) == []


class Composer:
    """Puts expressions together; most are good. Of days from the end systemd 252 refuses some above 20 in lists."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def expression(self, zones: list[str]) -> str:
        chance = self.random.random
        parts = []
        if chance() < 0.3:
            parts.append(self.weekdays())
        if chance() < 0.6:
            parts.append(self.date())
        if chance() < 0.8 or not parts:
            parts.append(self.time())
        if zones and chance() < 0.7:
            parts.append(self.random.choice(zones))
        return " ".join(parts)

    def weekdays(self) -> str:
        days = ["Mon", "tue", "Wednesday", "THU", "Fri", "Sat", "sunday"]
        pick = [
            days[self.random.randrange(7)]
            if self.random.random() < 0.6
            else "..".join(days[number] for number in sorted(self.random.choices(range(7), k=2)))
            for _ in range(self.random.randint(1, 3))
        ]
        return ",".join(pick)

    def date(self) -> str:
        year = (
            f"{self.chain(2024, 2032)}-" if self.random.random() < 0.4 else "*-" * self.random.randint(0, 1)
        )
        month = self.chain(1, 12)
        if self.random.random() < 0.3:
            return f"{year}{month}~{self.chain(1, 20, repeats=False)}"
        return f"{year}{month}-{self.chain(1, 31)}"

    def time(self) -> str:
        second = self.random.choice(["", "", ":00", ":*", f":{self.chain(0, 59)}", f":{self.seconds()}"])
        return f"{self.chain(0, 23)}:{self.chain(0, 59)}{second}"

    def chain(self, low: int, high: int, *, repeats: bool = True) -> str:
        if self.random.random() < 0.35:
            return "*"
        return ",".join(
            self.component(low, high, repeats=repeats) for _ in range(self.random.choice([1, 1, 1, 2, 3]))
        )

    def component(self, low: int, high: int, *, repeats: bool) -> str:
        first, last = sorted(self.random.choices(range(low, high + 1), k=2))
        has_stop = self.random.random() < 0.4
        text = f"{first}..{last}" if has_stop else str(first)
        if repeats and self.random.random() < 0.4:
            text += f"/{self.step(low, high, has_stop=has_stop)}"
        return text

    def step(self, low: int, high: int, *, has_stop: bool) -> int:
        """Return a step without an end that divides the field: with others systemd 252 may skip the start of the
        next."""
        steps = range(1, max(3, (high - low) // 2))
        count = high - low + 1
        return self.random.choice([step for step in steps if has_stop or count % step == 0])

    def seconds(self) -> str:
        """Fractions are repeated up to a stop: without one systemd 252 may skip the first of a minute."""
        text = f"{self.random.randrange(30)}.{self.random.randrange(1000)}"
        if self.random.random() < 0.5:
            text += f"..{self.random.randrange(40, 60)}/{self.random.randint(1, 9)}.{self.random.randrange(10_000_000)}"
        return text


@pytest.mark.parametrize("seed", range(8))
def test_random_expressions_are_parsed_as_by_systemd(seed: int) -> None:
    composer = Composer(seed)
    base = STARTS[0] + timedelta(seconds=composer.random.randrange(3 * 366 * 86400))
    texts = dict.fromkeys(composer.expression(["UTC"]) for _ in range(150))
    assert differences(texts, base) == []


@pytest.mark.parametrize("base", CHANGES, ids=str)
def test_offset_changes_are_handled_as_by_systemd(base: datetime) -> None:
    composer = Composer(base.month)
    texts = [
        f"{text} {zone}"
        for text in ("*:0/30", "hourly", "02:30", "*:15:0/30", "daily", "1..3:0/20")
        for zone in ZONES
    ]
    texts += [composer.expression(ZONES) for _ in range(80)]
    assert differences(dict.fromkeys(texts), base) == []
