"""The monitors of sources: a real dispatcher, sources of the tests."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from monitord.application import ApplicationContainer
from monitord.dispatch import MonitorEntry
from monitord.health import Objective
from monitord.model import Reason, State
from monitord.monitors import Monitor, MonitorSettings
from monitord.monitors.objective import ObjectiveOptions
from monitord.settings import Settings
from monitord.sources import Sources, SourceStatus
from monitord.sources.sources import MAX_LOGGED_TARGETS
from tests.buses import until
from tests.fakes import FakeMonitor
from tests.sources.fakes import FakeSource, FakeSourceSettings, of
from tests.worlds import World

REFUSED = Reason.REFUSED


class Host:
    """A daemon's parts, as far as they matter here. Monitors pass, except for those in `world.bad`."""

    def __init__(self, kept: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.world = World(settings=Settings(), kept=kept)
        self.sources = Sources(
            self.world.dispatcher,
            self.world.source_tools,
            self.build,
            self.world.history.save_daemon_state,
            self.world.saved_state.daemon_states,
        )
        self.world.override(ApplicationContainer.sources, self.sources)
        self.world.start()

    def build(self, settings: MonitorSettings) -> Monitor[Any]:
        if settings.name.endswith("broken"):
            raise RuntimeError("constructor")

        async def answer() -> Reason:
            return self.world.bad.get(settings.name, Reason.OK)

        return FakeMonitor(settings, self.world.tools, answer)

    @property
    def names(self) -> set[str]:
        return set(self.world.dispatcher.entries)

    def entry(self, name: str) -> MonitorEntry:
        return self.world.dispatcher.entries[name]

    def status(self, name: str = "fake") -> SourceStatus:
        return next(status for status in self.sources.status() if status.name == name)

    async def source(self, settings: FakeSourceSettings, count: int = 1) -> FakeSource:
        """Wait until a source with these settings runs."""
        await until(lambda: len(settings.runs) >= count)
        return settings.runs[-1]

    async def provide(self, settings: FakeSourceSettings, *targets: str, **data: Mapping[str, Any]) -> None:
        """Replace the targets, and wait until the monitors follow."""
        source = await self.source(settings)
        assert source.feed is not None
        source.feed.provide({**{target: {} for target in targets}, **data})
        await self.settled()

    async def settled(self) -> None:
        await until(lambda: not self.sources.is_updating)

    async def down(self, name: str) -> None:
        """Let a monitor go down."""
        self.world.bad[name] = REFUSED
        for _ in range(3):
            await self.world.dispatcher.check_now(name)
        assert self.world.state(name) is State.DOWN

    @property
    def kept(self) -> Mapping[str, Mapping[str, Any]]:
        return json.loads(json.dumps(self.world.history.kept))  # type: ignore[no-any-return,attr-defined]

    async def close(self) -> None:
        await self.sources.close()
        await self.sources.close()
        await self.world.close()


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    made = Host()
    yield made
    await made.close()


async def test_monitors_follow_the_targets(host: Host) -> None:
    fake = FakeSourceSettings()
    host.sources.apply(of(fake, defaults={"timeout": "3s"}))
    await host.provide(fake, "a", "b", "c")
    assert host.names == {"fake:a", "fake:b", "fake:c"}
    settings = host.entry("fake:a").monitor.settings
    assert (settings.source, settings.check_every_s, settings.timeout_s) == ("fake", 3600.0, 3.0)
    a, b = host.entry("fake:a"), host.entry("fake:b")
    await host.provide(fake, "a", b={"timeout": "1s"}, d={})
    assert host.names == {"fake:a", "fake:b", "fake:d"}
    assert host.entry("fake:a") is a
    assert host.entry("fake:b") is not b
    assert host.entry("fake:b").monitor.settings.timeout_s == 1.0
    status = host.status()
    assert (status.targets, status.monitors, status.problem) == (3, 3, None)


async def test_targets_with_an_objective_have_its_monitor_as_well(host: Host) -> None:
    fake = FakeSourceSettings()
    host.sources.apply(of(fake, defaults={"slo": {"target": 99.5}}))
    await host.provide(fake, "a", b={"slo": False}, c={"slo": {"window": "7d"}, "tags": ["prod"]})
    assert host.names == {"fake:a", "objective:fake:a", "fake:b", "fake:c", "objective:fake:c"}
    settings = host.entry("objective:fake:c").monitor.settings
    assert (settings.source, settings.type_name, settings.tags) == ("fake", "objective", ("prod",))
    assert settings.options == ObjectiveOptions(Objective(99.5, 7 * 86_400.0), ("fake:c",))
    a, of_a = host.entry("fake:a"), host.entry("objective:fake:a")
    await host.provide(fake, "a", c={"slo": False})
    assert host.names == {"fake:a", "objective:fake:a", "fake:c"}
    assert (host.entry("fake:a"), host.entry("objective:fake:a")) == (a, of_a)


async def test_removed_target_closes_its_incident(host: Host) -> None:
    fake = FakeSourceSettings()
    host.sources.apply(of(fake))
    await host.provide(fake, "a", "b")
    await host.down("fake:a")
    await host.provide(fake, "b")
    assert [incident.closed_at is None for incident in host.world.incidents] == [True, False]
    assert host.names == {"fake:b"}


async def test_changed_target_keeps_its_state(host: Host) -> None:
    fake = FakeSourceSettings()
    host.sources.apply(of(fake))
    await host.provide(fake, "a")
    await host.down("fake:a")
    await host.provide(fake, a={"timeout": "1s"})
    assert host.world.state("fake:a") is State.DOWN
    assert len(host.world.incidents) == 1


async def test_failing_source_keeps_its_monitors_and_logs_once(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fake = FakeSourceSettings()
    host.sources.apply(of(fake))
    await host.provide(fake, "a", "b")
    feed = (await host.source(fake)).feed
    assert feed is not None
    feed.fail("connection refused")
    feed.fail("connection refused")
    status = host.status()
    assert (status.problem, status.failing_since is None) == ("connection refused", False)
    assert caplog.text.count("source fake: connection refused; 2 monitors continue") == 1
    assert host.names == {"fake:a", "fake:b"}
    feed.provide({"a": {}, "b": {}})
    assert host.status().problem is None
    assert caplog.text.count("source fake works again") == 1


async def test_restart_continues_with_the_stored_targets(host: Host) -> None:
    fake = FakeSourceSettings()
    host.sources.apply(of(fake))
    await host.provide(fake, "a", b={"timeout": "1s"})
    await host.provide(fake, b={"timeout": "1s"}, c={})
    later = Host(host.kept)
    again = FakeSourceSettings()
    later.sources.apply(of(again))
    assert later.names == {"fake:b", "fake:c"}
    assert later.entry("fake:b").monitor.settings.timeout_s == 1.0
    source = await later.source(again)
    assert source.feed is not None
    assert dict(source.feed.targets) == {"b": {"timeout": "1s"}, "c": {}}
    later.sources.apply(of())
    await later.settled()
    assert later.names == set()
    assert later.kept == {}
    await later.close()


async def test_targets_of_a_source_that_was_removed_during_a_stop_are_forgotten(host: Host) -> None:
    fake = FakeSourceSettings()
    host.sources.apply(of(fake))
    await host.provide(fake, "a")
    assert host.kept
    later = Host(host.kept)
    later.sources.apply(of())
    assert (later.names, later.kept) == (set(), {})
    await later.close()


async def test_invalid_targets_are_reported_and_the_others_apply(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeSourceSettings()
    host.sources.apply(of(fake))
    await host.provide(
        fake, "good", "broken", "a b", wrong={"timeout": 0}, unknown={"adress": "x"}, gone={"type": "none"},
        team={"type": "group", "members": ["x"]}, moved={"renamed_from": "x"},
    )  # fmt: skip
    assert host.names == {"fake:good"}
    rejected = dict(host.status().rejected)
    assert rejected == {
        "broken": "cannot be created: RuntimeError; see the journal",
        "a b": "contains whitespace, a quote, a wildcard (* ? [ ]) or a non-printable character; "
        "use letters, digits and other punctuation",
        "wrong": rejected["wrong"],
        "unknown": rejected["unknown"],
        "gone": rejected["gone"],
        "team": "type: a group cannot be automatic; configure it as [monitors.NAME] (and 1 more error)",
        "moved": "renamed_from: cannot be used for automatic monitors; remove it",
    }
    assert "source fake: 'wrong' has no monitor: timeout: 0 is" in caplog.text
    before = len(caplog.records)
    await host.provide(fake, "good", "better", wrong={"timeout": 0})
    assert host.names == {"fake:good", "fake:better"}
    assert [record.getMessage() for record in caplog.records[before:] if record.levelname == "WARNING"] == []


async def test_number_of_logged_targets_without_a_monitor_is_limited(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeSourceSettings()
    host.sources.apply(of(fake))
    await host.provide(fake, **{f"wrong{number}": {"timeout": 0} for number in range(MAX_LOGGED_TARGETS + 1)})
    assert caplog.text.count(" has no monitor: ") == MAX_LOGGED_TARGETS
    assert "source fake: 1 more target without a monitor" in caplog.text


async def test_number_of_targets_is_limited_and_present_monitors_stay(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeSourceSettings(max_targets=2)
    host.sources.apply(of(fake))
    await host.provide(fake, "b", "c")
    await host.provide(fake, "a", "b", "c", "d")
    assert host.names == {"fake:b", "fake:c"}
    assert host.status().over_limit == 2
    await host.provide(fake, "a", "c", "d")
    assert host.names == {"fake:a", "fake:c"}
    assert caplog.text.count("ignored 2 targets beyond the limit of 2") == 1


async def test_restart_keeps_the_selection_of_too_many_targets(host: Host) -> None:
    fake = FakeSourceSettings(max_targets=2)
    host.sources.apply(of(fake))
    await host.provide(fake, "c", "b", "a")
    assert host.names == {"fake:c", "fake:b"}
    later = Host(host.kept)
    later.sources.apply(of(FakeSourceSettings(max_targets=2)))
    assert later.names == {"fake:c", "fake:b"}
    await later.close()


async def test_ignored_names_have_no_monitor(host: Host) -> None:
    fake = FakeSourceSettings()
    host.sources.apply(of(fake))
    await host.provide(fake, "a1", "a2", "b")
    host.sources.apply(of(fake, ignore=("fake:a*",)))
    await host.settled()
    assert host.names == {"fake:b"}
    assert host.status().ignored == 2
    host.sources.apply(of(fake, ignore=("*:b",)))
    await host.settled()
    assert host.names == {"fake:a1", "fake:a2"}
    assert len(fake.runs) == 1


async def test_overrides_apply_to_monitors_whose_names_match(host: Host) -> None:
    fake = FakeSourceSettings()
    first, second = ("fake:a*", {"timeout": "1s", "tags": ["x"]}), ("*:a2", {"timeout": "2s"})
    host.sources.apply(of(fake, overrides=(first, second)))
    await host.provide(fake, "a1", "a2", "b")
    timeouts_s = {name: host.entry(name).monitor.settings.timeout_s for name in sorted(host.names)}
    assert timeouts_s == {"fake:a1": 1.0, "fake:a2": 2.0, "fake:b": 5.0}
    assert host.entry("fake:a2").monitor.settings.tags == ("x",)
    b = host.entry("fake:b")
    host.sources.apply(of(fake))
    await host.settled()
    assert host.entry("fake:a2").monitor.settings.timeout_s == 5.0
    assert host.entry("fake:b") is b


async def test_reload_continues_equal_sources_and_restarts_changed_ones(host: Host) -> None:
    first_settings, second_settings = FakeSourceSettings("one"), FakeSourceSettings("two")
    host.sources.apply(of(first_settings, second_settings))
    await host.provide(first_settings, "a")
    await host.provide(second_settings, "a")
    first = await host.source(second_settings)
    changed = FakeSourceSettings("two", label="changed")
    host.sources.apply(of(FakeSourceSettings("one", runs=first_settings.runs), changed))
    source = await host.source(changed)
    assert first.was_stopped
    assert len(first_settings.runs) == 1
    assert source.feed is not None
    assert list(source.feed.targets) == ["a"]
    assert host.names == {"one:a", "two:a"}
    host.sources.apply(of(first_settings))
    await until(lambda: source.was_stopped)
    await host.settled()
    assert host.names == {"one:a"}
    assert [status.name for status in host.sources.status()] == ["one"]


async def test_source_that_returns_before_its_monitors_are_removed_keeps_them_clean(host: Host) -> None:
    fake = FakeSourceSettings()
    host.sources.apply(of(fake))
    await host.provide(fake, "a", "b")
    host.sources.apply(of())
    again = FakeSourceSettings()
    host.sources.apply(of(again))
    await host.provide(again, "b", "c")
    assert host.names == {"fake:b", "fake:c"}


async def test_source_that_returns_at_once_keeps_its_monitors(host: Host) -> None:
    fake = FakeSourceSettings()
    host.sources.apply(of(fake))
    await host.provide(fake, "a", "b")
    a = host.entry("fake:a")
    host.sources.apply(of())
    again = FakeSourceSettings()
    host.sources.apply(of(again))
    source = await host.source(again)
    await host.settled()
    assert source.feed is not None
    assert list(source.feed.targets) == ["a", "b"]
    assert host.entry("fake:a") is a


async def test_reload_during_an_update_ends_with_the_last_settings(host: Host) -> None:
    fake = FakeSourceSettings(max_targets=1000)
    host.sources.apply(of(fake))
    source = await host.source(fake)
    assert source.feed is not None
    source.feed.provide({f"t{number}": {} for number in range(500)})
    await until(lambda: host.sources.is_updating)
    host.sources.apply(of(fake, overrides=(("fake:*", {"timeout": "1s"}),)))
    await host.settled()
    assert len(host.names) == 500
    assert {entry.monitor.settings.timeout_s for entry in host.world.dispatcher.entries.values()} == {1.0}


async def test_close_during_an_update_ends_the_update(host: Host) -> None:
    fake = FakeSourceSettings(max_targets=1000)
    host.sources.apply(of(fake))
    source = await host.source(fake)
    assert source.feed is not None
    source.feed.provide({f"t{number}": {} for number in range(500)})
    await until(lambda: host.sources.is_updating)
    await host.close()
    assert source.was_stopped


async def test_source_that_raises_is_reported(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeSourceSettings(error=RuntimeError("secret"))
    host.sources.apply(of(fake))
    await until(lambda: host.status().problem is not None)
    assert host.status().problem == "bug in the source: RuntimeError; see the journal"
    assert "Traceback" in caplog.text


async def test_monitors_of_sources_are_not_removed_by_a_reload(host: Host) -> None:
    fake = FakeSourceSettings()
    host.sources.apply(of(fake))
    await host.provide(fake, "a")
    host.world.monitor("configured")
    host.world.dispatcher.apply(host.world.dispatcher.plan((), host.build))
    assert host.names == {"fake:a"}
