"""Flapping of decisions: the weighted changes in the last 20 check intervals."""

from datetime import timedelta

import pytest

from monitord.cluster.flapping import with_flapping
from monitord.cluster.model import ClusterDecision
from monitord.model import Reason, State
from tests.cluster.votes import BEGAN

INTERVAL_S = 60.0


def decision(*minutes: float, is_flapping: bool = False) -> ClusterDecision:
    """A decision that has changed in these minutes after BEGAN."""
    changes = tuple(BEGAN + timedelta(minutes=minute) for minute in minutes)
    return ClusterDecision(
        "shop", State.UP, BEGAN, Reason.OK, "", 1, changes=changes, is_flapping=is_flapping
    )


def after(before: ClusterDecision, minute: float, *, is_detected: bool = True) -> ClusterDecision:
    return with_flapping(before, INTERVAL_S, BEGAN + timedelta(minutes=minute), is_detected=is_detected)


@pytest.mark.parametrize(
    ("minutes", "is_flapping"),
    [((), False), ((0,), False), (range(2, 7), False), (range(1, 7), True), ((0,) * 6, True)],
    ids=["none", "once", "below the threshold", "above", "at once"],
)
def test_flapping_begins_with_the_number_of_changes(minutes: tuple[int, ...], *, is_flapping: bool) -> None:
    assert after(decision(*minutes), 6).is_flapping is is_flapping


def test_flapping_ends_with_the_age_of_the_changes() -> None:
    flapping = after(decision(*range(7)), 6)
    assert after(flapping, 15).is_flapping
    over = after(flapping, 24)
    assert not over.is_flapping
    assert len(over.changes) == 2
    assert after(over, 60).changes == ()


def test_decision_without_news_is_the_same_object() -> None:
    before = decision(1, 2)
    assert after(before, 3) is before


def test_flapping_is_not_detected_if_it_is_disabled() -> None:
    before = decision(*range(7), is_flapping=True)
    assert after(before, 6, is_detected=False) == decision()
