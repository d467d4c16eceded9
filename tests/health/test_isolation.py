"""Each row of the table of isolation, and outages that must not be mistaken for it."""

from collections.abc import Callable

import pytest

from monitord.health import Isolation, IsolationPolicy


def watching(count: int = 10, canaries: tuple[str, ...] = ()) -> Isolation:
    """Return the isolation of monitors that are checked every 30 s and passed a minute ago."""
    isolation = Isolation()
    names = [f"m{number}" for number in range(count)] + list(canaries)
    isolation.configure(dict.fromkeys(names, 30.0), IsolationPolicy(0.8, frozenset(canaries)))
    for name in names:
        isolation.record(name, is_failing=False, at_s=0.0)
    return isolation


def fail(isolation: Isolation, *numbers: int, at_s: float = 60.0) -> None:
    for number in numbers:
        isolation.record(f"m{number}", is_failing=True, at_s=at_s + number / 10)


def test_eight_of_ten_new_failures_within_an_interval_are_isolation() -> None:
    isolation = watching()
    fail(isolation, *range(7))
    assert not isolation.is_isolated
    fail(isolation, 7)
    assert isolation.is_isolated


def test_failures_spread_over_several_intervals_are_not_isolation() -> None:
    isolation = watching()
    for number in range(10):
        fail(isolation, number, at_s=60.0 + 30 * number)
        assert not isolation.is_isolated
        assert not isolation.is_suspected


def test_four_failing_monitors_are_too_few_for_isolation() -> None:
    isolation = watching(4)
    fail(isolation, *range(4))
    assert not isolation.is_isolated
    assert not isolation.is_suspected


def test_suspicion_begins_before_all_are_checked_and_ends_with_the_window() -> None:
    isolation = watching(100)
    fail(isolation, *range(5))
    assert isolation.is_suspected
    assert not isolation.is_isolated
    isolation.record("m50", is_failing=False, at_s=95.0)
    assert not isolation.is_suspected


def test_single_earlier_failure_does_not_hide_isolation() -> None:
    """Among thousands one or the other has always begun to fail within the interval, and hundreds passed since."""
    isolation = watching(300)
    fail(isolation, 299, at_s=0.0)
    for number in range(150):
        isolation.record(f"m{number}", is_failing=False, at_s=30.0 + number / 10)
    suspected = [isolation.is_suspected]
    fail(isolation, *range(150, 166), at_s=30.1)
    suspected.append(isolation.is_suspected)
    for number in range(166, 171):
        isolation.record(f"m{number}", is_failing=False, at_s=46.8)
    suspected.append(isolation.is_suspected)
    assert suspected == [False, True, False]


def test_frequent_retries_of_half_of_the_monitors_are_not_a_suspicion() -> None:
    isolation = watching(100)
    fail(isolation, 99, at_s=50.0)
    for number in range(0, 60, 2):
        isolation.record(f"m{number}", is_failing=False, at_s=60.0 + number / 10)
        fail(isolation, number + 1)
    for _ in range(3):
        fail(isolation, *range(1, 60, 2))
        assert not isolation.is_suspected


def test_monitor_that_passes_meanwhile_ends_the_suspicion() -> None:
    isolation = watching(100)
    fail(isolation, *range(5))
    for number in (50, 51):
        isolation.record(f"m{number}", is_failing=False, at_s=61.0)
    assert not isolation.is_suspected


def test_passing_canary_excludes_isolation() -> None:
    isolation = watching(10, ("gateway",))
    fail(isolation, *range(10))
    assert not isolation.is_isolated
    isolation.record("gateway", is_failing=True, at_s=62.0)
    assert isolation.is_isolated


def test_isolation_ends_when_fewer_than_the_share_fail() -> None:
    isolation = watching()
    fail(isolation, *range(10))
    for at_s in (500.0, 1000.0):
        fail(isolation, *range(10), at_s=at_s)
        assert isolation.is_isolated
    for number in range(2):
        isolation.record(f"m{number}", is_failing=False, at_s=1100.0)
        assert isolation.is_isolated
    isolation.record("m2", is_failing=False, at_s=1100.0)
    assert not isolation.is_isolated
    # Continued failures are not new failures.
    fail(isolation, 3, 4, 5, 6, 7, at_s=1130.0)
    assert not isolation.is_isolated
    assert not isolation.is_suspected


def test_removed_monitors_do_not_count() -> None:
    isolation = watching(10)
    fail(isolation, *range(6))
    assert not isolation.is_isolated
    isolation.configure({f"m{number}": 30.0 for number in range(7)}, IsolationPolicy(0.8))
    isolation.record("m0", is_failing=True, at_s=61.0)
    assert isolation.is_isolated


def test_window_is_the_time_in_which_the_share_is_checked() -> None:
    isolation = Isolation()
    isolation.configure({"a": 10, "b": 20, "c": 30, "d": 40, "e": 86400.0}, IsolationPolicy(0.6))
    assert isolation.window_s == 40


def test_failures_of_monitors_that_were_down_before_are_not_new() -> None:
    """After a restart in the middle of an outage all of it is seen within one interval."""
    isolation = Isolation()
    isolation.configure({f"m{number}": 30.0 for number in range(6)}, IsolationPolicy(0.8))
    for number in range(6):
        isolation.record(f"m{number}", is_failing=True, at_s=number, was_down=number < 5)
        assert not isolation.is_suspected
    assert not isolation.is_isolated


def test_failures_of_too_few_remaining_monitors_are_confirmed() -> None:
    isolation = watching()
    fail(isolation, *range(10))
    assert isolation.is_isolated
    isolation.configure({f"m{number}": 30.0 for number in range(4)}, IsolationPolicy(0.8))
    fail(isolation, 0, at_s=90.0)
    assert not isolation.is_isolated


# Isolation tests

OTHERS = {f"m{number}" for number in range(1, 6)}


def isolation_under_test(canaries: tuple[str, ...] = ()) -> Isolation:
    """m0 has failed, and the checks of m1 to m5 that the failure caused run."""
    isolation = watching(canaries=canaries)
    fail(isolation, 0)
    assert isolation.needs_test(60.0)
    assert isolation.start_test(OTHERS | set(canaries), 60.0, 70.0)
    assert isolation.is_suspected
    return isolation


def answer(isolation: Isolation, *names: str, is_failing: bool = False, began_s: float = 60.0) -> None:
    for name in names:
        isolation.record(name, is_failing=is_failing, at_s=61.0, began_s=began_s)


def test_isolation_test_ends_as_soon_as_the_share_can_no_longer_fail() -> None:
    isolation = isolation_under_test()
    answer(isolation, "m1")
    assert isolation.is_suspected
    answer(isolation, "m2")
    assert not isolation.is_suspected


def test_isolation_test_whose_checks_fail_becomes_a_suspicion_by_fresh_failures() -> None:
    isolation = isolation_under_test()
    answer(isolation, *OTHERS, is_failing=True)
    isolation.expire(1000.0)
    assert isolation.is_suspected


def test_isolation_test_ends_with_the_isolation_that_it_detected() -> None:
    isolation = watching(5)
    fail(isolation, 0)
    isolation.start_test(OTHERS, 60.0, 70.0)
    isolated = []
    for name in ("m1", "m2", "m3"):
        answer(isolation, name, is_failing=True)
        isolated.append(isolation.is_isolated)
    assert isolated == [False, False, False]
    answer(isolation, "m4", is_failing=True)
    assert isolation.is_isolated
    answer(isolation, *[f"m{number}" for number in range(5)])
    assert not isolation.is_suspected


def test_results_of_checks_that_began_before_the_isolation_test_do_not_count() -> None:
    isolation = isolation_under_test()
    answer(isolation, *OTHERS, began_s=59.9)
    assert isolation.is_suspected


def test_results_of_other_monitors_do_not_count() -> None:
    isolation = isolation_under_test()
    answer(isolation, "m6", "m7", "m8", "m9")
    assert isolation.is_suspected


def test_result_without_a_beginning_counts_from_its_end() -> None:
    isolation = isolation_under_test()
    for name in ("m1", "m2"):
        isolation.record(name, is_failing=False, at_s=60.0)
    assert not isolation.is_suspected


def test_passing_canary_alone_ends_the_isolation_test() -> None:
    isolation = isolation_under_test(("gateway",))
    answer(isolation, "gateway")
    assert not isolation.is_suspected


@pytest.mark.parametrize("leave", [Isolation.skip, Isolation.forget], ids=["inconclusive", "removed"])
def test_isolation_test_does_not_wait_for_a_monitor(leave: Callable[[Isolation, str], None]) -> None:
    isolation = isolation_under_test()
    for name in sorted(OTHERS):
        assert isolation.is_suspected
        leave(isolation, name)
    assert not isolation.is_suspected


@pytest.mark.parametrize(("at_s", "is_suspected"), [(70.0, True), (70.1, False)], ids=["before", "after"])
def test_isolation_test_ends_at_the_timeout_of_its_checks(at_s: float, is_suspected: bool) -> None:
    isolation = isolation_under_test()
    isolation.expire(at_s)
    assert isolation.is_suspected is is_suspected


def test_isolation_test_needs_no_check_where_enough_monitors_have_just_passed() -> None:
    isolation = watching(20)
    fail(isolation, 0)
    assert not isolation.start_test({"m1"}, 60.0, 70.0, passed=["m2", "m3"])
    assert isolation.start_test(OTHERS, 60.0, 70.0, passed=["m6"])
    answer(isolation, "m1")
    assert not isolation.is_suspected


def test_at_most_ten_monitors_that_have_just_passed_count_in_an_isolation_test() -> None:
    isolation = watching(60)
    fail(isolation, 0)
    passed = [f"m{number}" for number in range(1, 12)]
    assert isolation.start_test({f"m{number}" for number in range(12, 51)}, 60.0, 70.0, passed=passed)


def test_isolation_test_needs_no_check_where_a_canary_has_just_passed() -> None:
    isolation = watching(canaries=("gateway",))
    fail(isolation, 0)
    assert not isolation.start_test(OTHERS, 60.0, 70.0, passed=["gateway"])
    assert not isolation.is_suspected


@pytest.mark.parametrize(
    ("count", "canaries", "failing", "is_needed"),
    [
        pytest.param(5, (), 1, True, id="five monitors"),
        pytest.param(4, (), 1, False, id="four monitors"),
        pytest.param(1, ("gateway",), 1, True, id="one monitor and a canary"),
        pytest.param(10, (), 5, False, id="suspected already"),
        pytest.param(10, (), 8, False, id="isolated already"),
    ],
)
def test_failure_is_a_reason_for_an_isolation_test(
    count: int, canaries: tuple[str, ...], failing: int, is_needed: bool
) -> None:
    isolation = watching(count, canaries)
    fail(isolation, *range(failing))
    assert isolation.needs_test(61.0) is is_needed


def test_failure_is_not_a_reason_for_an_isolation_test_before_every_canary_is_known() -> None:
    isolation = watching(10)
    isolation.configure(
        {f"m{number}": 30.0 for number in range(10)}, IsolationPolicy(0.8, frozenset({"gateway"}))
    )
    fail(isolation, 0)
    assert not isolation.needs_test(61.0)


def test_isolation_tests_are_a_second_apart() -> None:
    isolation = isolation_under_test()
    answer(isolation, *OTHERS)
    assert not isolation.needs_test(60.9)
    assert isolation.needs_test(61.0)


# Added and removed monitors


def test_removed_monitor_is_not_failing() -> None:
    isolation = watching()
    fail(isolation, 0)
    assert isolation.is_failing("m0")
    isolation.forget("m0")
    assert not isolation.is_failing("m0")


def test_monitors_that_a_reload_adds_during_isolation_count_as_failing() -> None:
    isolation = watching()
    fail(isolation, *range(8))
    isolation.configure({f"m{number}": 30.0 for number in range(14)}, IsolationPolicy(0.8))
    assert isolation.is_isolated
    assert isolation.is_failing("m13")
    assert not isolation.is_failing("m8")


def test_window_is_the_longest_period_where_the_share_is_all_monitors() -> None:
    isolation = Isolation()
    isolation.configure({"a": 10.0, "b": 20.0}, IsolationPolicy(1.0))
    assert isolation.window_s == 20.0


def test_failure_is_fresh_until_the_window_is_over_and_not_after_it() -> None:
    for at_s, is_isolated in ((90.0, True), (90.1, False)):
        isolation = watching(5)
        fail(isolation, 0)
        for number in range(1, 5):
            isolation.record(f"m{number}", is_failing=True, at_s=at_s)
        assert isolation.is_isolated is is_isolated


def test_failures_of_removed_monitors_do_not_count() -> None:
    isolation = watching(10)
    fail(isolation, *range(7))
    isolation.configure({f"m{number}": 30.0 for number in range(6, 12)}, IsolationPolicy(0.8))
    fail(isolation, 7, 8)
    assert not isolation.is_isolated
    assert not isolation.is_failing("m0")
    isolation.forget("a monitor that was never seen")


# Weight of a failure


def test_monitor_that_was_down_before_is_no_longer_fresh() -> None:
    isolation = watching()
    fail(isolation, 0)
    isolation.record("m0", is_failing=True, at_s=60.0, was_down=True)
    fail(isolation, *range(1, 8))
    assert not isolation.is_isolated


def test_monitor_that_passes_again_is_no_longer_fresh() -> None:
    isolation = watching()
    fail(isolation, 0)
    isolation.record("m0", is_failing=False, at_s=61.0)
    fail(isolation, *range(1, 8))
    assert not isolation.is_isolated


def test_monitor_that_passed_and_fails_now_does_not_prevent_isolation() -> None:
    isolation = watching(100)
    fail(isolation, 0)
    for name in ("m1", "m2"):
        isolation.record(name, is_failing=False, at_s=60.5)
    fail(isolation, 1, 2, 3, 4)
    assert isolation.is_suspected


def test_latest_results_are_ordered_by_their_time() -> None:
    """A monitor that passed earlier and begins to fail is among the latest from then on."""
    isolation = watching(100)
    fail(isolation, 99, at_s=50.0)  # an older failure, so that the first criterion is not met
    for number in range(60):
        isolation.record(f"m{number}", is_failing=False, at_s=60.0)
    fail(isolation, *range(59, 43, -1))
    isolation.record("m0", is_failing=False, at_s=70.0)
    assert isolation.is_suspected


def test_five_isolated_monitors_stay_isolated_while_they_fail() -> None:
    isolation = watching(5)
    fail(isolation, *range(5))
    fail(isolation, *range(5), at_s=90.0)
    assert isolation.is_isolated


def test_failures_in_an_isolation_test_are_counted_once_for_each_monitor() -> None:
    isolation = isolation_under_test()
    for _ in range(3):
        answer(isolation, "m1", is_failing=True)
    answer(isolation, "m2")
    suspected = [isolation.is_suspected]
    answer(isolation, "m3")
    suspected.append(isolation.is_suspected)
    assert suspected == [True, False]
