"""The stopwatch: phases add up, and what belongs to none is counted nowhere."""

from monitord.net import Phase
from monitord.net.base.phases import PhaseTimer


def test_a_phase_that_comes_again_adds_up() -> None:
    timer = PhaseTimer()
    timer.enter(Phase.CONNECT)
    timer.enter(Phase.PROCESSING)
    once = timer.read()
    timer.enter(Phase.CONNECT)
    twice = timer.read()
    assert set(once) == {Phase.CONNECT, Phase.PROCESSING}
    assert twice[Phase.CONNECT] > once[Phase.CONNECT]
    assert twice[Phase.PROCESSING] == once[Phase.PROCESSING]


def test_a_pause_belongs_to_no_phase() -> None:
    timer = PhaseTimer()
    timer.enter(Phase.RESOLVE)
    timer.pause()
    before = timer.read()
    assert timer.read() == before
    assert timer.current is Phase.RESOLVE
    assert timer.elapsed_s() > sum(before.values())


def test_time_spent_beforehand_counts_as_resolving() -> None:
    timer = PhaseTimer(5.0)
    assert timer.read() == {Phase.RESOLVE: 5.0}
    assert timer.elapsed_s() > 5.0


def test_phases_that_were_not_entered_are_not_told() -> None:
    assert PhaseTimer().read() == {}
