"""Each key that all monitors have, from the configuration file to its effect on checks and states.

The reader, the dispatcher and the pipeline are real; the time and the results of the checks are not.
"""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from monitord.model import Reason, State
from monitord.monitors import MonitorSettings
from monitord.monitors.group import GroupMonitor
from monitord.settings import read_settings
from tests.fakes import FakeMonitor, run_in_fake_time
from tests.worlds import RunningWorld

ANY = 'command = ["/bin/true"]'
OK, BAD, WARNS = Reason.OK, Reason.REFUSED, Reason.PLUGIN_WARNING


class Played:
    """The outcome of a configuration whose checks have the reasons in `plays`, the last reason forever."""

    def __init__(self, tmp_path: Path, text: str, seconds: float, **plays: Sequence[Reason | None]) -> None:
        self.began: dict[str, list[float]] = {}
        self.changes: dict[str, list[State]] = {}
        self.states: dict[str, State] = {}
        self.reasons: dict[str, list[Reason]] = {}
        self.took: dict[str, float] = {}
        self.is_flapping: dict[str, bool] = {}
        config = tmp_path / "monitord.toml"
        config.write_text(text)
        settings = read_settings(config).monitors
        run_in_fake_time(lambda: self._play(settings, seconds, plays))

    async def _play(
        self, settings: Sequence[MonitorSettings], seconds: float, plays: dict[str, Sequence[Reason | None]]
    ) -> None:
        world = RunningWorld()
        built = {
            setting.name: self._monitor(world, setting, plays.get(setting.name, [OK])) for setting in settings
        }
        world.dispatcher.apply(world.dispatcher.plan(settings, lambda wanted: built[wanted.name]))
        await asyncio.sleep(seconds)
        for name, entry in world.dispatcher.entries.items():
            if isinstance(entry.monitor, FakeMonitor):
                self.began[name] = entry.monitor.began
            self.states[name] = entry.state.effective
            self.is_flapping[name] = entry.state.health.flapping.is_flapping
            self.took[name] = entry.state.last.observation.duration_s if entry.state.last is not None else 0.0
            self.changes[name] = world.changes(name)
            self.reasons[name] = [reason for monitor, _, reason in world.results if monitor == name]
        await world.close()

    def _monitor(
        self, world: RunningWorld, settings: MonitorSettings, play: Sequence[Reason | None]
    ) -> FakeMonitor | GroupMonitor:
        if settings.type_name == "group":
            return GroupMonitor(settings, world.tools)
        left = list(play)

        async def act() -> Reason:
            reason = left.pop(0) if len(left) > 1 else left[0]
            if reason is None:
                await asyncio.Event().wait()
            return reason or OK

        return FakeMonitor(settings, world.tools, act)

    def gaps(self, name: str) -> list[float]:
        """Return the seconds between the starts of checks, without the first check, which is not on the grid."""
        began = self.began[name][1:]
        return [round(after - before, 1) for before, after in pairwise(began)]


def one_monitor(keys: str) -> str:
    return f"[monitors.one]\n{ANY}\n{keys}\n"


def test_check_every_is_the_time_between_the_starts_of_two_checks(tmp_path: Path) -> None:
    assert set(Played(tmp_path, one_monitor('check_every = "7s"'), 100).gaps("one")) == {7.0}
    assert set(Played(tmp_path, one_monitor(""), 100).gaps("one")) == {30.0}


@pytest.mark.parametrize(("timeout", "seconds"), [("1s", 1.0), ("9s", 9.0)])
def test_timeout_ends_a_check_that_hangs(tmp_path: Path, timeout: str, seconds: float) -> None:
    played = Played(tmp_path, one_monitor(f'check_every = "60s"\ntimeout = "{timeout}"'), 50, one=[None])
    assert set(played.reasons["one"]) == {Reason.TIMEOUT_RESPONSE}
    assert seconds <= played.took["one"] < seconds + 1


@pytest.mark.parametrize(("fail_after", "state"), [(1, State.DOWN), (3, State.DOWN), (4, State.UP)])
def test_fail_after_is_the_number_of_failures_that_make_a_monitor_down(
    tmp_path: Path, fail_after: int, state: State
) -> None:
    keys = f'check_every = "10s"\nretry_every = "10s"\nfail_after = {fail_after}\nflapping = false'
    played = Played(tmp_path, one_monitor(keys), 300, one=[OK, BAD, BAD, BAD, OK])
    assert (State.DOWN in played.changes["one"]) is (state is State.DOWN)


def test_retry_every_is_the_time_to_the_next_check_after_a_failure(tmp_path: Path) -> None:
    keys = 'check_every = "30s"\nretry_every = "2s"\nfail_after = 4'
    gaps = Played(tmp_path, one_monitor(keys), 200, one=[OK, OK, BAD]).gaps("one")
    assert gaps[1:4] == [2.0, 2.0, 2.0]
    assert set(gaps[5:]) == {30.0}
    gaps = Played(tmp_path, one_monitor('check_every = "30s"\nfail_after = 4'), 200, one=[OK, OK, BAD]).gaps(
        "one"
    )
    assert gaps[1:3] == [10.0, 10.0]


@pytest.mark.parametrize(("recover_after", "state"), [(1, State.UP), (2, State.UP), (3, State.DOWN)])
def test_recover_after_is_the_number_of_successes_that_end_an_outage(
    tmp_path: Path, recover_after: int, state: State
) -> None:
    keys = f'check_every = "10s"\nfail_after = 1\nflapping = false\nrecover_after = {recover_after}'
    played = Played(tmp_path, one_monitor(keys), 300, one=[BAD, OK, OK, BAD])
    assert (State.UP in played.changes["one"]) is (state is State.UP)


@pytest.mark.parametrize(("degrade_after", "degrades"), [(1, True), (2, True), (3, False)])
def test_degrade_after_is_the_number_of_warnings_that_make_a_monitor_degraded(
    tmp_path: Path, degrade_after: int, degrades: bool
) -> None:
    keys = f'check_every = "10s"\ndegrade_after = {degrade_after}\nflapping = false'
    played = Played(tmp_path, one_monitor(keys), 100, one=[OK, WARNS, WARNS, OK])
    assert (State.DEGRADED in played.changes["one"]) is degrades


@pytest.mark.parametrize(("invert", "state"), [("false", State.DOWN), ("true", State.UP)])
def test_invert_reverses_the_verdict(tmp_path: Path, invert: str, state: State) -> None:
    keys = f'check_every = "10s"\ninvert = {invert}'
    assert Played(tmp_path, one_monitor(keys), 60, one=[BAD]).states["one"] is state


@pytest.mark.parametrize(
    ("key", "state"),
    [
        ("", State.DOWN),
        ('depends_on = ["a", "b"]', State.UNREACHABLE),
        ('depends_on_any = ["a", "b"]', State.DOWN),
        ('depends_on_any = ["a"]', State.UNREACHABLE),
    ],
)
def test_dependent_of_a_parent_that_is_down_is_unreachable(tmp_path: Path, key: str, state: State) -> None:
    """`depends_on`: all parents are needed; `depends_on_any`: one of them."""
    text = f'[defaults]\ncheck_every = "10s"\n[monitors.a]\n{ANY}\n[monitors.b]\n{ANY}\n{one_monitor(key)}'
    assert Played(tmp_path, text, 100, a=[BAD], one=[BAD]).states["one"] is state


@pytest.mark.parametrize(
    ("keys", "state"),
    [
        ('members = ["a", "b"]', State.DOWN),
        ('members = ["b", "c"]', State.UP),
        ('members = ["a", "b"]\nat_least = 1', State.DEGRADED),
        ('members = ["b"]\nmember_tags = ["shop"]', State.DOWN),
        ('member_tags = ["blog"]', State.UP),
    ],
)
def test_group_has_the_worst_state_of_its_members(tmp_path: Path, keys: str, state: State) -> None:
    monitors = "".join(
        f'[monitors.{name}]\n{ANY}\ntags = ["{tag}"]\n'
        for name, tag in (("a", "shop"), ("b", "blog"), ("c", ""))
    )
    text = f'[defaults]\ncheck_every = "10s"\n{monitors}[monitors.g]\ntype = "group"\n{keys}\n'
    assert Played(tmp_path, text, 200, a=[BAD]).states["g"] is state


@pytest.mark.parametrize("flapping", ["true", "false"])
def test_flapping_is_detected_unless_switched_off(tmp_path: Path, flapping: str) -> None:
    keys = f'check_every = "10s"\nfail_after = 1\nflapping = {flapping}'
    played = Played(tmp_path, one_monitor(keys), 600, one=[OK, BAD] * 100)
    assert played.is_flapping["one"] is (flapping == "true")


def test_conditions_in_the_file_are_applied(tmp_path: Path) -> None:
    """An unresolved field fails `up_when`, and not `degraded_when`."""
    # The monitors of this test have no fields, so that no condition can be resolved.
    wanted = Played(tmp_path, one_monitor('check_every = "10s"\nup_when = ["exit_status == 0"]'), 60)
    assert set(wanted.reasons["one"]) == {Reason.CONDITION_UNRESOLVED}
    unwanted = Played(tmp_path, one_monitor('check_every = "10s"\ndegraded_when = ["exit_status == 0"]'), 60)
    assert set(unwanted.reasons["one"]) == {Reason.OK}


def test_defaults_apply_to_monitors_without_the_key(tmp_path: Path) -> None:
    text = f'[defaults]\ncheck_every = "5s"\n[monitors.a]\n{ANY}\n[monitors.b]\n{ANY}\ncheck_every = "9s"\n'
    played = Played(tmp_path, text, 100)
    assert (set(played.gaps("a")), set(played.gaps("b"))) == ({5.0}, {9.0})
