"""The stopwatch: phases add up, and what belongs to none is counted nowhere."""

from monitord.net import Phase
from monitord.net.base.phases import PhaseTimer


def test_times_of_a_repeated_phase_are_added() -> None:
    timer = PhaseTimer()
    timer.enter(Phase.CONNECT)
    timer.enter(Phase.PROCESSING)
    once = timer.read()
    timer.enter(Phase.CONNECT)
    twice = timer.read()
    assert set(once) == {Phase.CONNECT, Phase.PROCESSING}
    assert twice[Phase.CONNECT] > once[Phase.CONNECT]
    assert twice[Phase.PROCESSING] == once[Phase.PROCESSING]


def test_pause_belongs_to_no_phase() -> None:
    timer = PhaseTimer()
    timer.enter(Phase.RESOLVE)
    timer.pause()
    before = timer.read()
    assert timer.read() == before
    assert timer.current is Phase.RESOLVE
    assert timer.elapsed_s() > sum(before.values())


def test_earlier_resolution_time_counts_as_resolve_phase() -> None:
    timer = PhaseTimer(5.0)
    assert timer.read() == {Phase.RESOLVE: 5.0}
    assert timer.elapsed_s() > 5.0


def test_phases_not_entered_are_not_reported() -> None:
    assert PhaseTimer().read() == {}
