"""The queue is bounded, and contains only the latest version of a state or an incident."""

import pytest

from monitord.history.batch import Batch, ResultRow, SpanStart, Tick
from monitord.model import Reason, State, Transition
from tests.history.world import START, incident


def row(number: int) -> ResultRow:
    return ResultRow("a", number, 1, 0, "ok", None, None)


def test_oldest_results_are_dropped_and_counted() -> None:
    batch = Batch(max_results=3)
    for number in range(5):
        batch.add_result(row(number))
    assert [result.at_ms for result in batch.results] == [2, 3, 4]
    assert batch.dropped == 2


def test_other_kinds_of_rows_are_limited() -> None:
    batch = Batch(max_changes=2)
    for number in range(5):
        batch.add_transition(Transition("a", State.UP, State.DOWN, START, START, Reason.REFUSED, str(number)))
        batch.add_span_start(SpanStart("a", number, State.UP, False))
        batch.add_incident(incident(number=f"i{number}"))
    assert [transition.detail for transition in batch.transitions] == ["3", "4"]
    assert [result.at_ms for result in batch.timeline] == [3, 4]
    assert list(batch.incidents) == ["i3", "i4"]
    assert (batch.dropped, len(batch)) == (9, 6)


def test_update_of_an_incident_drops_no_row() -> None:
    batch = Batch(max_changes=1)
    for _ in range(3):
        batch.add_incident(incident())
    assert (batch.dropped, len(batch)) == (0, 1)


@pytest.mark.parametrize(
    ("ticks", "kept"),
    [
        pytest.param([Tick(1), Tick(2), Tick(3)], [Tick(3)], id="one after the other"),
        pytest.param([Tick(1), Tick(9, 8), Tick(10)], [Tick(1), Tick(10, 8)], id="a gap stays"),
        pytest.param([Tick(9, 8), Tick(20, 19)], [Tick(9, 8), Tick(20, 19)], id="two gaps"),
    ],
)
def test_ticks_without_a_gap_are_merged(ticks: list[Tick], kept: list[Tick]) -> None:
    batch = Batch()
    for seen in ticks:
        batch.add_tick(seen)
    assert list(batch.timeline) == kept


def test_renames_are_followed_through_all_names() -> None:
    batch = Batch()
    batch.states["a"] = {"n": 1}
    batch.rename("a", "b")
    batch.rename("b", "c")
    assert batch.renames == {"a": "c", "b": "c"}
    assert batch.states == {"c": {"n": 1}}


def test_written_batch_is_empty() -> None:
    batch = Batch()
    batch.add_result(row(1))
    batch.states["a"] = None
    batch.daemon_states["a"] = {}
    batch.rename("a", "b")
    batch.add_tick(Tick(1))
    batch.clear()
    assert len(batch) == 0
