"""The heartbeats that the nodes of a cluster share: merging, and the record that follows."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.monitors.heartbeat.record import (
    Heartbeat,
    HeartbeatSchedule,
    HeartbeatSignal,
    HeartbeatStatus,
    evaluate,
)
from monitord.monitors.heartbeat.shared import (
    MAX_SIGNALS,
    Absence,
    HeartbeatFacts,
    facts_json,
    facts_of,
    facts_of_record,
    merged,
    record_of,
    with_signal,
)

BEGAN = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOURLY = HeartbeatSchedule(3600.0, None, grace_s=600.0, warn_after_s=300.0)
SUCCESS, START, FAIL, LOG = (
    HeartbeatSignal.SUCCESS,
    HeartbeatSignal.START,
    HeartbeatSignal.FAIL,
    HeartbeatSignal.LOG,
)


def minute(number: float) -> datetime:
    return BEGAN + timedelta(minutes=number)


def received(
    *signals: tuple[float, HeartbeatSignal], node: str = "fra", message: str | None = None
) -> HeartbeatFacts:
    facts = HeartbeatFacts(BEGAN, node)
    for number, signal in signals:
        facts = with_signal(facts, Heartbeat(signal, message=message), minute(number), node)
    return facts


def status(
    facts: HeartbeatFacts,
    now: float,
    *,
    known_until: float | None = None,
    absence: Absence | None = None,
    schedule: HeartbeatSchedule = HOURLY,
) -> HeartbeatStatus:
    known = minute(now if known_until is None else known_until)
    return evaluate(record_of(facts, schedule, minute(now), known, absence), schedule, known).status


FACTS = st.builds(
    lambda number, signal, node, message, run: with_signal(
        HeartbeatFacts(minute(-number), node),
        Heartbeat(signal, message=message, run_id=run),
        minute(number),
        node,
    ),
    st.integers(0, 30),
    st.sampled_from(HeartbeatSignal),
    st.sampled_from(["fra", "hel"]),
    st.sampled_from([None, "", "text"]),
    st.sampled_from([None, "a", "b"]),
)


@given(st.lists(FACTS, min_size=1, max_size=12), st.randoms())
def test_facts_are_the_same_in_any_order_and_repetition(facts: list[HeartbeatFacts], random: object) -> None:
    expected = reduce(merged, facts)
    repeated = facts * 2
    random.shuffle(repeated)  # type: ignore[attr-defined]  # of hypothesis
    assert reduce(merged, repeated) == expected
    half = len(repeated) // 2
    assert merged(reduce(merged, repeated[:half], expected), reduce(merged, repeated[half:])) == expected
    assert facts_of(json.loads(json.dumps(facts_json(expected)))) == expected


def test_older_signal_does_not_replace_a_newer_one() -> None:
    failure, success = received((10, FAIL), node="hel"), received((11, SUCCESS))
    assert status(merged(success, failure), 12) is HeartbeatStatus.UP
    late = merged(received((20, FAIL)), received((11, SUCCESS), node="hel"))
    assert status(late, 21) is HeartbeatStatus.FAILED
    assert late.succeeded_at == minute(11)
    assert (late.node, late.last_signal_at) == ("fra", minute(20))


def test_signal_of_this_node_follows_what_is_known_although_the_clock_is_behind() -> None:
    facts = with_signal(received((10, FAIL), node="hel"), Heartbeat(), minute(9), "fra")
    assert status(facts, 11) is HeartbeatStatus.UP
    assert facts.node == "fra"


def test_run_that_another_node_has_seen_ending_has_ended() -> None:
    start, end = received((0, START), node="fra"), received((5, SUCCESS), node="hel")
    for order in permutations([start, end]):
        record = record_of(reduce(merged, order), HOURLY, minute(6), minute(6), None)
        assert (record.started_at, record.runtime_s) == (None, 300.0)


def test_overlapping_runs_are_in_the_order_of_their_signals() -> None:
    def of(number: float, signal: HeartbeatSignal, run: str, node: str) -> HeartbeatFacts:
        return with_signal(HeartbeatFacts(BEGAN, node), Heartbeat(signal, run_id=run), minute(number), node)

    parts = (of(1, START, "a", "fra"), of(2, SUCCESS, "a", "hel"), of(3, SUCCESS, "b", "fra"))
    for order in permutations(parts):
        record = record_of(reduce(merged, order), HOURLY, minute(4), minute(4), None)
        assert (record.started_at, record.ended_at) == (None, minute(3))


def test_number_of_signals_is_limited() -> None:
    facts = received(*((number, signal) for number in range(20) for signal in (START, FAIL)))
    assert len(facts.starts) == len(facts.ends) == MAX_SIGNALS
    assert status(facts, 20) is HeartbeatStatus.FAILED


@pytest.mark.parametrize(
    ("now", "known_until", "expected"),
    [
        (70.1, 70.1, HeartbeatStatus.MISSED),
        (69.9, 69.9, HeartbeatStatus.LATE),
        # What others have received since is not known yet.
        (90, 69.9, HeartbeatStatus.LATE),
        (90, 1, HeartbeatStatus.UP),
    ],
)
def test_deadline_takes_effect_when_all_signals_until_then_are_known(
    now: float, known_until: float, expected: HeartbeatStatus
) -> None:
    assert status(received((0, SUCCESS)), now, known_until=known_until) is expected


@pytest.mark.parametrize(
    ("absence", "late", "missed"),
    [
        # Back: one grace after the return.
        (Absence(minute(65), minute(100)), 109.9, 110.1),
        # Not back: one grace after an absence of one grace.
        (Absence(minute(65), None), 84.9, 85.1),
        # It was back before the deadline, or was lost after it.
        (Absence(minute(60), minute(69)), 69.9, 70.1),
        (Absence(minute(71), None), 69.9, 71.1),
        # It was lost long before the deadline: the job should use another node.
        (Absence(minute(10), None), 69.9, 70.1),
    ],
)
def test_deadline_is_extended_while_the_node_of_the_last_signal_is_absent(
    absence: Absence, late: float, missed: float
) -> None:
    facts = received((0, SUCCESS))
    assert status(facts, late, absence=absence) is HeartbeatStatus.LATE
    assert status(facts, missed, absence=absence) is HeartbeatStatus.MISSED


def test_deadline_is_extended_after_a_pause() -> None:
    facts = replace(received((0, SUCCESS)), paused_from=minute(20), resumed_at=minute(90))
    assert status(facts, 99.9) is HeartbeatStatus.LATE
    assert status(facts, 100.1) is HeartbeatStatus.MISSED
    # A later absence that overlaps: both are one absence.
    absence = Absence(minute(89), minute(95))
    assert status(facts, 104.9, absence=absence) is HeartbeatStatus.LATE
    assert status(facts, 105.1, absence=absence) is HeartbeatStatus.MISSED


def test_deadline_that_took_effect_on_one_node_does_on_all() -> None:
    facts = received((0, SUCCESS))
    back = Absence(minute(65), minute(100))
    assert status(facts, 101, absence=back) is HeartbeatStatus.LATE
    concluded = merged(facts, replace(facts, missed_at=minute(70)))
    assert status(concluded, 101, absence=back) is HeartbeatStatus.MISSED
    # A node whose clock is ahead.
    assert status(concluded, 69) is HeartbeatStatus.LATE
    # A success that was received before the deadline arrives late, or the job succeeds again.
    for number in (69, 101):
        assert status(merged(concluded, received((number, SUCCESS))), 102) is HeartbeatStatus.UP


def test_missed_run_stays_missed_when_the_next_run_starts() -> None:
    schedule = replace(HOURLY, max_runtime_s=600.0)
    facts = received((0, START), (30, START))
    assert status(facts, 31, schedule=schedule) is HeartbeatStatus.MISSED
    assert status(received((0, START), (9, START)), 10, schedule=schedule) is HeartbeatStatus.RUNNING


def test_message_is_that_of_the_last_signal_with_one() -> None:
    facts = merged(received((1, FAIL), message="disk full"), received((2, LOG)))
    assert record_of(facts, HOURLY, minute(3), minute(3), None).message == "disk full"
    facts = merged(facts, received((4, SUCCESS), node="hel"))
    assert record_of(facts, HOURLY, minute(5), minute(5), None).message is None


def test_record_of_a_single_host_is_continued() -> None:
    for signals in ([(0, SUCCESS)], [(0, SUCCESS), (5, START)], [(3, FAIL)], []):
        facts = received(*signals, message="text")
        record = record_of(facts, HOURLY, minute(6), minute(6), None)
        again = record_of(facts_of_record(record), HOURLY, minute(6), minute(6), None)
        assert again == record


@pytest.mark.parametrize("document", [{}, {"node": "fra"}, {"node": "fra", "began_at": "yesterday"}])
def test_other_documents_are_rejected(document: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        facts_of(document)
