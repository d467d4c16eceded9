"""The type `clock`: which service is queried, the default verdict and its grace period."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from dbus_fast import Variant

from monitord.dispatch.judging import judge
from monitord.model import Observation, Reason, Verdict
from monitord.monitors.clock.monitor import ClockMonitor, ClockOptions, ClockProblem, evaluate
from monitord.monitors.clock.sources import ClockAddresses, ClockSource, ClockSources
from monitord.monitors.host.kernel_files import KernelFiles
from monitord.net.clock.status import ClockError, ClockStatus
from tests.buses import Daemon
from tests.configurations import options_of
from tests.fakes import FakeClock, fake_tools, monitor_settings
from tests.hosts import (
    FakeTimeServices,
    kernel_files,
    ntp_message,
    time_service,
    tracking_reply,
    with_conditions,
)

NOW = FakeClock.START
ALL = set(ClockMonitor.vocabulary.fields)
TIMEDATE = "org.freedesktop.timedate1"


def no_kernel() -> None:
    """A kernel that cannot be queried, as in the sandbox of the service, which forbids adjtimex(2)."""


def synchronized_kernel() -> ClockStatus:
    return ClockStatus("kernel", is_synchronized=True)


def unsynchronized_kernel() -> ClockStatus:
    return ClockStatus("kernel", is_synchronized=False)


class Chronyd(asyncio.DatagramProtocol):
    """Replies to each request with a reply that has its sequence number."""

    def __init__(self, reply: dict[str, Any]) -> None:
        self._reply = reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        sequence = int.from_bytes(data[8:12], "big")
        self._transport.sendto(tracking_reply(**self._reply, sequence=sequence), addr)


@asynccontextmanager
async def chronyd(**reply: Any) -> AsyncIterator[tuple[str, int]]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Chronyd(reply), local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()


def closed_port() -> tuple[str, int]:
    """An address at which nothing listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        address: tuple[str, int] = unused.getsockname()
        return address


def addresses(
    tmp_path: Path,
    *,
    bus: str = "",
    chrony: tuple[str, int] | None = None,
    kernel: Callable[[], ClockStatus | None] = no_kernel,
) -> ClockAddresses:
    return ClockAddresses(
        bus or f"unix:path={tmp_path}/none", chrony or closed_port(), closed_port(), query_kernel=kernel
    )


def monitor(
    places: ClockAddresses | ClockSources,
    files: KernelFiles,
    clock: FakeClock | None = None,
    *,
    up_when: str = "",
    degraded_when: str = "",
    **options: Any,
) -> ClockMonitor:
    settings = monitor_settings(type_name="clock", options=ClockOptions(**options), timeout_s=60.0)
    sources = places if isinstance(places, ClockSources) else ClockSources(places)
    return ClockMonitor(
        with_conditions(settings, ClockMonitor.vocabulary, up_when, degraded_when),
        fake_tools(clock or FakeClock()),
        sources,
        files,
    )


def verdict_of(monitor: ClockMonitor, observation: Observation) -> Verdict:
    return judge(observation, monitor.settings, None).verdict


class Answers(ClockSources):
    """Reports the values that a test sets."""

    def __init__(self, status: ClockStatus | ClockError) -> None:
        super().__init__()
        self.status = status

    async def query(self, *_: object, **__: object) -> ClockStatus:
        if isinstance(self.status, ClockError):
            raise self.status
        return self.status


GOOD = ClockStatus(
    "chrony", is_synchronized=True, offset_s=0.001, measured_at=NOW, server="192.0.2.1", stratum=3
)
UNSYNCHRONIZED = ClockStatus("chrony", is_synchronized=False)


# The default verdict


@pytest.mark.parametrize(
    ("status", "reason", "text"),
    [
        pytest.param(GOOD, None, "chrony: synchronized with 192.0.2.1, offset 0.001000 s behind", id="good"),
        pytest.param(
            ClockStatus("kernel", is_synchronized=True), None, "the kernel: synchronized", id="kernel"
        ),
        pytest.param(
            UNSYNCHRONIZED, Reason.CLOCK_UNSYNCHRONIZED, "chrony: not synchronized", id="not synchronized"
        ),
        pytest.param(
            replace(GOOD, measured_at=NOW - timedelta(days=2)),
            Reason.CLOCK_UNSYNCHRONIZED,
            "chrony: not synchronized with 192.0.2.1 since 2025-12-30 00:00:00 UTC",
            id="no measurement for two days",
        ),
        pytest.param(
            replace(GOOD, measured_at=NOW - timedelta(hours=9)),
            None,
            "chrony: synchronized with 192.0.2.1, offset 0.001000 s behind",
            id="no network for nine hours",
        ),
        pytest.param(
            replace(GOOD, offset_s=-2.5),
            Reason.CLOCK_OFFSET,
            "chrony: synchronized with 192.0.2.1, offset 2.500000 s ahead, more than 1s",
            id="offset",
        ),
        pytest.param(
            replace(GOOD, source="timesyncd", offset_s=2.5, is_corrected=True),
            None,
            "timesyncd: synchronized with 192.0.2.1, offset 2.500000 s behind",
            id="offset that was corrected",
        ),
    ],
)
def test_status_has_its_default_verdict(status: ClockStatus, reason: Reason | None, text: str) -> None:
    problem, said = evaluate(status, ClockOptions(), NOW)
    assert (problem.value if problem else None, said) == (reason, text)


def test_options_set_the_limits_of_the_default_verdict() -> None:
    status = replace(GOOD, offset_s=0.1, measured_at=NOW - timedelta(hours=1))
    assert evaluate(status, ClockOptions(), NOW)[0] is None
    assert evaluate(status, ClockOptions(max_offset_s=0.05), NOW)[0] is ClockProblem.OFFSET
    assert evaluate(status, ClockOptions(max_age_s=600.0), NOW)[0] is ClockProblem.UNSYNCHRONIZED


async def test_problem_is_accepted_during_the_grace_period(tmp_path: Path) -> None:
    clock, answers = FakeClock(), Answers(UNSYNCHRONIZED)
    checked = monitor(answers, kernel_files(tmp_path), clock)
    first = await checked.check()
    assert (first.reason, first.detail) == (
        Reason.OK,
        "chrony: not synchronized, accepted for 15m (grace)",
    )
    assert first.fields["clock.synchronized"] is False
    clock.skipped_s = 890.0
    assert (await checked.check()).reason is Reason.OK
    clock.skipped_s = 910.0
    assert (await checked.check()).reason is Reason.CLOCK_UNSYNCHRONIZED
    answers.status = replace(GOOD, measured_at=None)
    assert (await checked.check()).reason is Reason.OK
    answers.status = UNSYNCHRONIZED
    assert (await checked.check()).reason is Reason.OK


async def test_grace_period_does_not_begin_again_with_another_problem(tmp_path: Path) -> None:
    clock, answers = FakeClock(), Answers(UNSYNCHRONIZED)
    checked = monitor(answers, kernel_files(tmp_path), clock)
    await checked.check()
    clock.skipped_s = 910.0
    answers.status = replace(GOOD, offset_s=5.0, measured_at=None)
    assert (await checked.check()).reason is Reason.CLOCK_OFFSET


async def test_grace_period_continues_after_a_restart(tmp_path: Path) -> None:
    clock, files = FakeClock(), kernel_files(tmp_path)
    before = monitor(Answers(UNSYNCHRONIZED), files, clock)
    assert before.dump_state() is None
    await before.check()
    clock.skipped_s = 600.0
    state = before.dump_state()
    assert state is not None
    after = monitor(Answers(UNSYNCHRONIZED), files, clock)
    after.restore_state(state)
    clock.skipped_s = 910.0
    assert (await after.check()).reason is Reason.CLOCK_UNSYNCHRONIZED


@pytest.mark.parametrize(
    "state", [{}, {"problem": "OTHER", "problem_for_s": 1}, {"problem": 1}, {"problem": "OFFSET"}]
)
async def test_unknown_state_is_ignored(tmp_path: Path, state: dict[str, Any]) -> None:
    checked = monitor(Answers(UNSYNCHRONIZED), kernel_files(tmp_path))
    checked.restore_state(state)
    assert (await checked.check()).reason is Reason.OK


@pytest.mark.parametrize(
    ("status", "up_when", "degraded_when", "verdict"),
    [
        (UNSYNCHRONIZED, "", "", Verdict.WARN),
        (UNSYNCHRONIZED, "", "clock.stratum > 10", Verdict.PASS),
        (UNSYNCHRONIZED, "clock.synchronized == true", "", Verdict.FAIL),
        (replace(GOOD, offset_s=5.0), "", "", Verdict.FAIL),
        (replace(GOOD, offset_s=5.0), "clock.offset < 10s", "", Verdict.PASS),
        (replace(GOOD, offset_s=-5.0), "clock.offset < 1s", "", Verdict.FAIL),
    ],
)
async def test_conditions_replace_the_default_verdict(
    tmp_path: Path, status: ClockStatus, up_when: str, degraded_when: str, verdict: Verdict
) -> None:
    files = kernel_files(tmp_path)
    checked = monitor(Answers(status), files, up_when=up_when, degraded_when=degraded_when, grace_s=0.0)
    assert verdict_of(checked, await checked.check()) is verdict


# Sources


async def test_systemd_timesyncd_is_queried_first(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    services = FakeTimeServices(daemon.address, time_service(ntp_message(offset_us=1000)))
    try:
        await services.start()
        async with chronyd() as chrony:
            checked = monitor(addresses(tmp_path, bus=daemon.address, chrony=chrony), kernel_files(tmp_path))
            observation = await checked.check()
    finally:
        await services.stop()
        daemon.stop()
    assert observation.fields["clock.source"] == "timesyncd"
    assert observation.fields["clock.server"] == "ntp.example.org"
    assert observation.fields["clock.offset"] == 0.001
    assert set(observation.fields) == ALL


async def test_synchronized_service_is_preferred(tmp_path: Path) -> None:
    """Debian disables systemd-timesyncd when chrony is installed, but it may still run."""
    daemon = Daemon(tmp_path)
    services = FakeTimeServices(daemon.address, time_service(ntp_message(arrived_us=0)))
    try:
        await services.start()
        async with chronyd(address="192.0.2.1") as chrony:
            both = addresses(tmp_path, bus=daemon.address, chrony=chrony)
            checked = monitor(both, kernel_files(tmp_path))
            preferred = await checked.check()
        without_chrony = monitor(addresses(tmp_path, bus=daemon.address), kernel_files(tmp_path))
        remaining = await without_chrony.check()
    finally:
        await services.stop()
        daemon.stop()
    assert preferred.fields["clock.source"] == "chrony"
    assert remaining.fields["clock.source"] == "timesyncd"
    assert remaining.fields["clock.synchronized"] is False


async def test_kernel_is_queried_without_a_service(tmp_path: Path) -> None:
    checked = monitor(addresses(tmp_path, kernel=synchronized_kernel), kernel_files(tmp_path))
    observation = await checked.check()
    assert (observation.reason, observation.detail) == (Reason.OK, "the kernel: synchronized")
    assert set(observation.fields) == {"response_time", "clock.source", "clock.synchronized"}


async def test_timedated_is_queried_rarely_if_the_sandbox_forbids_adjtimex(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    properties = {(TIMEDATE, "NTPSynchronized"): Variant("b", value=True)}
    services = FakeTimeServices(daemon.address, properties)
    try:
        await services.start()
        checked = monitor(addresses(tmp_path, bus=daemon.address), kernel_files(tmp_path))
        details = [(await checked.check()).detail for _ in range(3)]
    finally:
        await services.stop()
        daemon.stop()
    assert details == ["the kernel: synchronized"] * 3
    assert services.calls.count("NTPSynchronized") == 1


async def test_nothing_that_reports_the_clock_is_inconclusive(tmp_path: Path) -> None:
    checked = monitor(addresses(tmp_path), kernel_files(tmp_path))
    observation = await checked.check()
    assert observation.reason is Reason.PROBER_FORBIDDEN
    assert observation.detail.startswith("the state of the clock is unknown: ")


@pytest.mark.parametrize("kernel", [no_kernel, unsynchronized_kernel])
async def test_container_without_a_time_service_passes(
    tmp_path: Path, kernel: Callable[[], ClockStatus | None]
) -> None:
    files = kernel_files(tmp_path, is_container=True)
    observation = await monitor(addresses(tmp_path, kernel=kernel), files).check()
    assert observation.reason is Reason.OK
    assert observation.detail.startswith("the host of this container synchronizes the clock")
    with_condition = monitor(addresses(tmp_path, kernel=kernel), files, up_when="clock.synchronized == true")
    assert verdict_of(with_condition, await with_condition.check()) is Verdict.INCONCLUSIVE


async def test_container_whose_host_is_synchronized_passes(tmp_path: Path) -> None:
    files = kernel_files(tmp_path, is_container=True)
    checked = monitor(
        addresses(tmp_path, kernel=synchronized_kernel), files, up_when="clock.synchronized == true"
    )
    assert verdict_of(checked, await checked.check()) is Verdict.PASS


@pytest.mark.parametrize("source", [ClockSource.TIMESYNCD, ClockSource.CHRONY, ClockSource.NTPD])
async def test_chosen_service_that_does_not_run_is_a_problem(tmp_path: Path, source: ClockSource) -> None:
    places = addresses(tmp_path, kernel=synchronized_kernel)
    checked = monitor(places, kernel_files(tmp_path), source=source, grace_s=0.0)
    observation = await checked.check()
    assert observation.reason is Reason.CLOCK_UNSYNCHRONIZED
    assert observation.detail.startswith(f"{source.value}: ")


def test_options_are_read(tmp_path: Path) -> None:
    assert options_of(ClockMonitor, tmp_path, 'type = "clock"') == ClockOptions()
    keys = 'source = "ntpd"\nmax_offset = "10ms"\nmax_age = "1h"\ngrace = 0'
    assert options_of(ClockMonitor, tmp_path, keys) == ClockOptions(ClockSource.NTPD, 0.01, 3600.0, 0.0)
