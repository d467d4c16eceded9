import time
from datetime import UTC, datetime, timedelta

import pytest

from monitord.clock import Clock, SystemClock


@pytest.fixture
def clock() -> Clock:
    return SystemClock()


def test_monotonic_time_is_that_of_the_event_loop(clock: Clock) -> None:
    before = time.monotonic()
    now = clock.monotonic_s()
    assert before <= now <= time.monotonic()


def test_wall_time_knows_that_it_is_utc(clock: Clock) -> None:
    before = datetime.now(UTC)
    now = clock.now()
    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == timedelta(0)


def test_time_suspended_is_what_the_boot_clock_has_more(clock: Clock) -> None:
    boot_before_monotonic = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    assert clock.suspended_s() == pytest.approx(boot_before_monotonic, abs=1.0)
