"""The type `icmp`: its options as written in a file, what it says, and real pings in networks of the test's own."""

import errno
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.conditions import parse_condition
from monitord.dispatch.judging import judge
from monitord.model import Observation, Reason, Verdict
from monitord.monitors.icmp import IcmpMonitor, IcmpOptions
from monitord.net import IpFamily
from monitord.net.base.addressing import SourceAddresses
from tests.configurations import options_of
from tests.fakes import FakeClock, fake_tools, monitor_settings
from tests.pings import ALLOWED, FORBIDDEN, Answer, ScriptedSocket, check_in_network, why_no_networks
from tests.time_limits import within_growing_limit

ROOT = Path(__file__).parent.parent.parent

WHY_NOT = why_no_networks()
in_networks = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")


def read(tmp_path: Path, keys: str) -> IcmpOptions:
    return options_of(IcmpMonitor, tmp_path, keys)


async def seen_of(options: IcmpOptions, answer: Answer, *, timeout_s: float = 10.0) -> Observation:
    settings = monitor_settings(type_name="icmp", timeout_s=timeout_s, options=options)
    monitor = IcmpMonitor(settings, fake_tools(FakeClock()), lambda _: ScriptedSocket(answer))
    return await monitor.check()


# Results


async def test_replies_have_a_summary_of_one_line() -> None:
    seen = await seen_of(IcmpOptions("127.0.0.1", interval_s=0.01), lambda number: [number])
    assert (seen.reason, seen.address) == (Reason.OK, "127.0.0.1")
    assert seen.detail.startswith("ping 127.0.0.1: 3 of 3 replies from 127.0.0.1, round trip ")
    assert seen.subject == "ping 127.0.0.1"
    assert seen.outcome.startswith("3 of 3 replies from 127.0.0.1, round trip ")
    assert set(seen.fields) == set(IcmpMonitor.vocabulary.fields)
    fields = {name: value for name, value in seen.fields.items() if isinstance(value, (int, float))}
    assert (fields["ping.sent"], fields["ping.received"], fields["ping.loss_percent"]) == (3, 3, 0.0)
    assert fields["ping.rtt_min"] <= fields["ping.rtt"] <= fields["ping.rtt_max"]
    assert fields["response_time"] == fields["ping.rtt"]


async def test_one_reply_passes_and_the_loss_is_a_percentage() -> None:
    options = IcmpOptions("127.0.0.1", count=4, interval_s=0.01)
    seen = await within_growing_limit(
        lambda limit_s: seen_of(options, lambda number: [number] if number == 3 else [], timeout_s=limit_s),
        lambda seen: seen.reason is Reason.OK and seen.fields["ping.loss_percent"] == 75.0,
    )
    assert seen.reason is Reason.OK
    assert (seen.fields["ping.received"], seen.fields["ping.loss_percent"]) == (1, 75.0)


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ("ping.loss_percent <= 25", Verdict.PASS),
        ("ping.loss_percent < 25", Verdict.FAIL),
        ("ping.rtt < 5s and ping.rtt_max < 5s", Verdict.PASS),
        ("response_time > 5s", Verdict.FAIL),
    ],
)
async def test_conditions_can_use_the_replies(condition: str, verdict: Verdict) -> None:
    options = IcmpOptions("127.0.0.1", count=4, interval_s=0.01)
    seen = await within_growing_limit(
        lambda limit_s: seen_of(options, lambda number: [number] if number < 4 else [], timeout_s=limit_s),
        lambda seen: seen.fields["ping.loss_percent"] == 25.0,
    )
    conditions = (parse_condition(condition, IcmpMonitor.vocabulary),)
    settings = replace(monitor_settings(type_name="icmp", options=options), up_when=conditions)
    assert judge(seen, settings, None).verdict is verdict


async def test_missing_replies_are_a_timeout_with_full_loss() -> None:
    seen = await within_growing_limit(
        lambda limit_s: seen_of(IcmpOptions("127.0.0.1", interval_s=0.01), lambda _: [], timeout_s=limit_s),
        lambda seen: "0 of 3 replies" in seen.detail,
    )
    assert seen.reason is Reason.TIMEOUT_RESPONSE
    assert "ping 127.0.0.1: 0 of 3 replies from 127.0.0.1, " in seen.detail
    assert seen.fields["ping.loss_percent"] == 100.0
    assert "ping.rtt" not in seen.fields


async def test_forbidden_ping_socket_is_inconclusive() -> None:
    def fail(address: str) -> ScriptedSocket:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    settings = monitor_settings(type_name="icmp", options=IcmpOptions("127.0.0.1"))
    seen = await IcmpMonitor(settings, fake_tools(FakeClock()), fail).check()
    assert seen.reason is Reason.PROBER_FORBIDDEN
    assert judge(seen, settings, None).verdict is Verdict.INCONCLUSIVE


# In private networks


@in_networks
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_real_pings_have_the_expected_results(tmp_path: Path, loop: str) -> None:
    four, six, name, full, away, nowhere, astray = check_in_network(
        ALLOWED,
        'host = "127.0.0.1"\ninterval = 0.01',
        'host = "::1"\ninterval = 0.01',
        'host = "localhost"\nip_family = 4\ninterval = 0.01',
        'host = "192.0.2.1"\npayload = 8972\ncount = 1',
        'host = "192.0.2.9"\ninterval = 0.01',
        'host = "198.51.100.1"\ninterval = 0.01',
        'host = "fe80::1%nosuch0"\ninterval = 0.01',
        directory=tmp_path,
        loop=loop,
    )
    for seen, version in ((four, 4), (six, 6), (name, 4)):
        assert seen["reason"] == "ok", seen
        assert (seen["fields"]["ping.received"], seen["fields"]["ping.loss_percent"]) == (3, 0.0)
        assert seen["fields"]["ip_version"] == version
        assert 0 < seen["fields"]["ping.rtt"] < 1
    assert name["fields"]["phase.resolve"] > 0
    assert (full["reason"], full["fields"]["ping.sent"]) == ("ok", 1)
    # No host has the address on the link, and there is no route to the last host: the check waits for neither.
    assert (away["reason"], away["fields"]["ping.loss_percent"]) == ("host_unreachable", 100.0)
    assert away["detail"].startswith("ping 192.0.2.9: 192.0.2.9: no route to host, ")
    assert (astray["reason"], nowhere["reason"]) == ("host_unreachable", "host_unreachable")
    assert astray["detail"].startswith("ping fe80::1%nosuch0: fe80::1%nosuch0: no such device, ")
    assert nowhere["detail"].startswith("ping 198.51.100.1: 198.51.100.1: network is unreachable, ")


@in_networks
def test_real_host_that_does_not_reply_is_a_timeout(tmp_path: Path) -> None:
    (seen,) = check_in_network(
        f"{ALLOWED}\necho 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all",
        'host = "127.0.0.1"\ninterval = 0.01\ntimeout = 0.2',
        directory=tmp_path,
    )
    assert (seen["reason"], seen["fields"]["ping.sent"]) == ("timeout_response", 3)


@in_networks
def test_forbidden_ping_socket_has_a_hint(tmp_path: Path) -> None:
    for seen in check_in_network(FORBIDDEN, 'host = "127.0.0.1"', 'host = "::1"', directory=tmp_path):
        assert seen["reason"] == "prober_forbidden"
        assert (
            "ping sockets are not permitted for group 0; "
            'write "net.ipv4.ping_group_range = 0 2147483647" to /etc/sysctl.d/ping.conf, and run: sysctl --system'
            in seen["detail"]
        )


# Options


def test_every_option_is_read(tmp_path: Path) -> None:
    options = read(
        tmp_path, 'host = "Gate.example.org"\ncount = 5\ninterval = "1s"\npayload = "1kB"\nip_family = 6'
    )
    assert options == IcmpOptions("gate.example.org", 5, 1.0, 1000, IpFamily.IPV6)
    monitor = IcmpMonitor(monitor_settings(options=options), fake_tools(FakeClock()))
    assert monitor.pool == "gate.example.org"


def test_minimal_configuration_has_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, 'host = "192.0.2.1"') == IcmpOptions("192.0.2.1", 3, 0.2, 56, IpFamily.ANY)


async def test_requests_come_from_the_address(tmp_path: Path) -> None:
    socket = ScriptedSocket()
    options = read(tmp_path, 'host = "127.0.0.1"\nsource_address = "127.0.0.9"\ncount = 1')
    settings = monitor_settings(type_name="icmp", options=options)
    await IcmpMonitor(settings, fake_tools(FakeClock()), lambda _: socket).check()
    assert (socket.source, len(socket.sent)) == (SourceAddresses("127.0.0.9"), 1)


@in_networks
def test_address_that_this_host_does_not_have_is_a_probe_error(tmp_path: Path) -> None:
    present, absent, six = check_in_network(
        ALLOWED,
        'host = "127.0.0.1"\nsource_address = "127.0.0.9"\ninterval = 0.01',
        'host = "127.0.0.1"\nsource_address = "203.0.113.77"\ninterval = 0.01',
        'host = "::1"\nsource_address = ["127.0.0.9", "::1"]\ninterval = 0.01',
        directory=tmp_path,
    )
    assert (present["reason"], absent["reason"]) == ("ok", "prober_source_address")
    assert "source_address 203.0.113.77 is not an address of this host" in absent["detail"]
    assert (six["reason"], six["fields"]["ip_version"]) == ("ok", 6)


async def test_every_option_has_its_effect(tmp_path: Path) -> None:
    socket = ScriptedSocket()
    options = read(tmp_path, 'host = "127.0.0.1"\ncount = 2\ninterval = "400ms"\npayload = "7B"')
    monitor = IcmpMonitor(
        monitor_settings(type_name="icmp", options=options), fake_tools(FakeClock()), lambda _: socket
    )
    began_s = time.monotonic()
    await monitor.check()
    assert [(number, len(payload)) for number, payload in socket.sent] == [(1, 7), (2, 7)]
    assert time.monotonic() - began_s >= 0.4
