"""Each row of the table of isolation, and what must not be taken for it."""

from monitord.health import Isolation, IsolationPolicy


def watching(count: int = 10, canaries: tuple[str, ...] = ()) -> Isolation:
    """So many monitors, every 30 s, all of them well a minute ago."""
    isolation = Isolation()
    names = [f"m{number}" for number in range(count)] + list(canaries)
    isolation.configure(dict.fromkeys(names, 30.0), IsolationPolicy(0.8, frozenset(canaries)))
    for name in names:
        isolation.saw(name, is_failing=False, at_s=0.0)
    return isolation


def fail(isolation: Isolation, *numbers: int, at_s: float = 60.0) -> None:
    for number in numbers:
        isolation.saw(f"m{number}", is_failing=True, at_s=at_s + number / 10)


def test_eight_of_ten_that_begin_to_fail_within_one_interval_are_isolation() -> None:
    isolation = watching()
    fail(isolation, *range(7))
    assert not isolation.is_isolated
    fail(isolation, 7)
    assert isolation.is_isolated


def test_failures_that_come_one_after_the_other_are_none() -> None:
    isolation = watching()
    for number in range(10):
        fail(isolation, number, at_s=60.0 + 30 * number)
        assert not isolation.is_isolated
        assert not isolation.is_suspected


def test_four_of_four_are_too_few() -> None:
    isolation = watching(4)
    fail(isolation, *range(4))
    assert not isolation.is_isolated
    assert not isolation.is_suspected


def test_it_is_suspected_before_all_were_looked_at_and_the_suspicion_ends_by_itself() -> None:
    isolation = watching(100)
    fail(isolation, *range(5))
    assert isolation.is_suspected
    assert not isolation.is_isolated
    isolation.saw("m50", is_failing=False, at_s=95.0)
    assert not isolation.is_suspected


def test_a_single_failure_from_just_before_does_not_hide_that_all_begin_to_fail() -> None:
    """Among thousands one or the other has always begun to fail within the interval, and hundreds passed since."""
    isolation = watching(300)
    fail(isolation, 299, at_s=0.0)
    for number in range(150):
        isolation.saw(f"m{number}", is_failing=False, at_s=30.0 + number / 10)
    suspected = [isolation.is_suspected]
    fail(isolation, *range(150, 166), at_s=30.1)
    suspected.append(isolation.is_suspected)
    for number in range(166, 171):
        isolation.saw(f"m{number}", is_failing=False, at_s=46.8)
    suspected.append(isolation.is_suspected)
    assert suspected == [False, True, False]


def test_a_half_that_fails_and_is_looked_at_again_and_again_is_no_suspicion() -> None:
    isolation = watching(100)
    fail(isolation, 99, at_s=50.0)
    for number in range(0, 60, 2):
        isolation.saw(f"m{number}", is_failing=False, at_s=60.0 + number / 10)
        fail(isolation, number + 1)
    for _ in range(3):
        fail(isolation, *range(1, 60, 2))
        assert not isolation.is_suspected


def test_who_passes_meanwhile_lifts_the_suspicion() -> None:
    isolation = watching(100)
    fail(isolation, *range(5))
    for number in (50, 51):
        isolation.saw(f"m{number}", is_failing=False, at_s=61.0)
    assert not isolation.is_suspected


def test_a_canary_that_answers_means_that_we_see() -> None:
    isolation = watching(10, ("gateway",))
    fail(isolation, *range(10))
    assert not isolation.is_isolated
    isolation.saw("gateway", is_failing=True, at_s=62.0)
    assert isolation.is_isolated


def test_it_is_over_when_fewer_than_the_share_fail_however_long_it_lasted() -> None:
    isolation = watching()
    fail(isolation, *range(10))
    for at_s in (500.0, 1000.0):
        fail(isolation, *range(10), at_s=at_s)
        assert isolation.is_isolated
    for number in range(2):
        isolation.saw(f"m{number}", is_failing=False, at_s=1100.0)
        assert isolation.is_isolated
    isolation.saw("m2", is_failing=False, at_s=1100.0)
    assert not isolation.is_isolated
    # What still fails is no news.
    fail(isolation, 3, 4, 5, 6, 7, at_s=1130.0)
    assert not isolation.is_isolated
    assert not isolation.is_suspected


def test_monitors_that_are_gone_do_not_count() -> None:
    isolation = watching(10)
    fail(isolation, *range(6))
    assert not isolation.is_isolated
    isolation.configure({f"m{number}": 30.0 for number in range(7)}, IsolationPolicy(0.8))
    isolation.saw("m0", is_failing=True, at_s=61.0)
    assert isolation.is_isolated


def test_the_window_is_the_time_in_which_the_share_is_checked() -> None:
    isolation = Isolation()
    isolation.configure({"a": 10, "b": 20, "c": 30, "d": 40, "e": 86400.0}, IsolationPolicy(0.6))
    assert isolation.window_s == 40


def test_those_that_were_down_before_we_looked_do_not_begin_to_fail() -> None:
    """After a restart in the middle of an outage all of it is seen within one interval."""
    isolation = Isolation()
    isolation.configure({f"m{number}": 30.0 for number in range(6)}, IsolationPolicy(0.8))
    for number in range(6):
        isolation.saw(f"m{number}", is_failing=True, at_s=number, was_down=number < 5)
        assert not isolation.is_suspected
    assert not isolation.is_isolated


def test_too_few_that_are_left_after_a_reload_are_believed() -> None:
    isolation = watching()
    fail(isolation, *range(10))
    assert isolation.is_isolated
    isolation.configure({f"m{number}": 30.0 for number in range(4)}, IsolationPolicy(0.8))
    fail(isolation, 0, at_s=90.0)
    assert not isolation.is_isolated
