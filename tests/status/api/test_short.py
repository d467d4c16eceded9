"""The short forms over a real Unix socket, with the client of monitorctl."""

import os
from pathlib import Path

import pytest

from monitord import __version__
from monitord.cli.client.connection import HTTPStatusError
from monitord.status.access.security import name_of, require_change_rights
from monitord.web import HTTPForbidden, Peer
from tests.endpoint import REFUSED, endpoint


async def test_status_counts_monitors_by_state(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:
        await at.post("monitors", "good", "check")
        await at.post("monitors", "bad", "check")
        await at.post("monitors", "bad", "check")
        status = await at.get("status")
    assert status["state"] == "running"
    assert status["worst_state"] == "down"
    assert status["version"] == __version__
    assert status["monitors"] == {
        "total": 3, "pending": 1, "up": 1, "degraded": 0, "down": 1, "unreachable": 0, "unknown": 0, "paused": 0,
    }  # fmt: skip
    assert status["reload"] == {"status": None, "at": None, "summary": None, "error": None, "warnings": []}
    assert status["checks"]["total"] == 3
    assert status["pid"] == os.getpid()


async def test_monitors_are_listed_worst_first_with_their_last_result(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:
        await at.post("monitors", "good", "check")
        await at.post("monitors", "bad", "check")
        await at.post("monitors", "bad", "check")
        monitors = (await at.get("monitors"))["monitors"]
    assert [(monitor["name"], monitor["state"]) for monitor in monitors] == [
        ("bad", "down"),
        ("a.b-c_d", "pending"),
        ("good", "up"),
    ]
    assert monitors[0]["type"] == "fake"
    assert monitors[0]["last_result"]["verdict"] == "fail"
    assert monitors[0]["last_result"]["reason"] == "refused"
    assert monitors[0]["last_result"]["started_at"].endswith("Z")
    assert monitors[1]["last_result"] is None
    assert monitors[2]["tags"] == ["prod"]


async def test_monitor_has_its_schedule(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:
        monitor = await at.get("monitors", "a.b-c_d")
    assert monitor["name"] == "a.b-c_d"
    assert (monitor["check_every_s"], monitor["timeout_s"], monitor["fail_after"]) == (10.0, 2.0, 2)
    assert 0 <= monitor["next_check_in_s"] <= 10
    assert monitor["is_checking"] is False


async def test_unknown_monitor_is_404(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:
        for ask in (at.get("monitors", "nobody"), at.post("monitors", "nobody", "check")):
            with pytest.raises(HTTPStatusError, match="no monitor has the name 'nobody'") as refused:
                await ask
            assert refused.value.status == 404


async def test_check_returns_the_result_and_records_the_client(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:
        result = await at.post("monitors", "bad", "check")
        assert (result["name"], result["verdict"], result["reason"]) == ("bad", "fail", "refused")
        assert at.control.asked == [f"{name_of(os.geteuid())}, pid {os.getpid()}"]


async def test_applied_reload_returns_its_summary(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:
        assert await at.post("reload") == {
            "status": "applied",
            "at": "2026-01-01T00:00:00.000Z",
            "summary": "1 added, 2 unchanged",
            "error": None,
            "warnings": [],
        }


async def test_rejected_reload_is_422_and_remains_in_the_status(tmp_path: Path) -> None:
    async with endpoint(tmp_path, outcome=REFUSED) as at:
        with pytest.raises(HTTPStatusError) as refused:
            await at.post("reload")
        assert refused.value.status == 422
        assert refused.value.document["error"] == "monitord.toml:1: bad"
        assert (await at.get("status"))["reload"]["status"] == "rejected"


async def test_wrong_method_is_405_with_allow(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:
        with pytest.raises(HTTPStatusError) as refused:
            await at.get("reload")
    assert refused.value.status == 405


@pytest.mark.parametrize(
    ("state", "overdue_s", "is_healthy"),
    [("running", 0.0, True), ("reloading", 0.0, True), ("running", 60.0, False), ("stopping", 0.0, False)],
)
async def test_healthz_is_503_if_the_dispatcher_is_overdue_or_the_daemon_does_not_run(
    tmp_path: Path, state: str, overdue_s: float, is_healthy: bool
) -> None:
    async with endpoint(tmp_path, overdue_s=overdue_s) as at:
        at.control.state = state
        if is_healthy:
            assert await at.get("healthz") == "ok\n"
        else:
            with pytest.raises(HTTPStatusError) as refused:
                await at.get("healthz")
            assert refused.value.status == 503


OURS, OTHER = os.getegid(), 4711


@pytest.mark.parametrize(
    ("peer", "may"),
    [
        pytest.param(Peer(uid=0, gid=0, pid=1), True, id="root"),
        pytest.param(Peer(uid=os.geteuid(), gid=OTHER, pid=1), True, id="our_own_user"),
        pytest.param(Peer(uid=4711, gid=OURS, pid=1), True, id="our_group_first"),
        pytest.param(
            Peer(uid=65534, gid=65534, pid=1, groups=frozenset({OURS})), True, id="our_group_among_others"
        ),
        pytest.param(Peer(uid=4711, gid=OTHER, pid=1), False, id="a_stranger"),
        pytest.param(Peer(uid=65534, gid=65534, pid=1, groups=frozenset({65534})), False, id="nobody"),
        pytest.param(Peer(address="127.0.0.1", port=1), False, id="over_tcp"),
    ],
)
def test_changes_are_permitted_to_root_the_own_user_and_group(peer: Peer, may: bool) -> None:
    if may:
        assert require_change_rights(peer)
    else:
        with pytest.raises(HTTPForbidden):
            require_change_rights(peer)
