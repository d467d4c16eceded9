"""`monitorctl heartbeat`: the request, from the options and from the environment of ExecStopPost=."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitord.cli.command_line import command_parser
from monitord.cli.commands.heartbeat import HEARTBEAT, ping_document
from monitord.cli.control_command import main
from monitord.monitors.heartbeat.monitor import Heartbeat, HeartbeatSignal
from tests.endpoint import endpoint

ROOT = Path(__file__).parent.parent.parent


async def ctl(path: Path, *arguments: str) -> int:
    return await asyncio.to_thread(main, ["--socket", str(path), "heartbeat", *arguments])


@pytest.mark.parametrize(
    ("arguments", "heartbeat"),
    [
        ([], Heartbeat()),
        (["--start"], Heartbeat(HeartbeatSignal.START)),
        (["--fail", "--message", "no disk"], Heartbeat(HeartbeatSignal.FAIL, message="no disk")),
        (["--log", "--message", "half way"], Heartbeat(HeartbeatSignal.LOG, message="half way")),
        (["--exit-status", "0", "--run", "a b"], Heartbeat(exit_status=0, run_id="a b")),
        (["--exit-status", "23"], Heartbeat(HeartbeatSignal.FAIL, 23)),
        (["--exit-status", "KILL"], Heartbeat(HeartbeatSignal.FAIL, 137)),
        (["--exit-status", "SIGTERM"], Heartbeat(HeartbeatSignal.FAIL, 143)),
        (["--message", "x" * 100_000], Heartbeat(message="x" * 10_240)),
        (
            ["--message", "\N{SNOWMAN WITHOUT SNOW}\N{PILE OF POO}" * 6_000],
            Heartbeat(message="\N{SNOWMAN WITHOUT SNOW}\N{PILE OF POO}" * 6_000),
        ),
    ],
)
async def test_heartbeat_reaches_the_daemon(
    tmp_path: Path, arguments: list[str], heartbeat: Heartbeat
) -> None:
    async with endpoint(tmp_path) as at:
        assert await ctl(at.path, "good", *arguments) == 0
        assert at.control.heartbeats == [("good", heartbeat)]


async def test_rejected_heartbeat_is_reported_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with endpoint(tmp_path) as at:
        assert await ctl(at.path, "nobody") == 1
        assert "no monitor has the name 'nobody'" in capsys.readouterr().err
        assert await ctl(at.path, "bad") == 1
        assert "bad is of type fake and takes no heartbeats" in capsys.readouterr().err


def test_heartbeat_without_a_daemon_ends_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--socket", str(tmp_path / "none"), "heartbeat", "good"]) == 3
    assert "none: No such file or directory; correct --socket" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--exit-status", ""],
            "'' is not an exit status; write a number from 0 to 255, or the name of a signal",
        ),
        (["--exit-status", "256"], "'256' is not an exit status"),
        (["--exit-status", "TREM"], "'TREM' is not an exit status"),
        (["--start", "--fail"], "not allowed with argument"),
        (
            ["--service-result"],
            "--service-result is for ExecStopPost= of a service: $SERVICE_RESULT is not set; use --exit-status",
        ),
    ],
)
def test_usage_error_sends_no_ping(arguments: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitord.cli", "--socket", "/nonexistent", "heartbeat", "good", *arguments],
        cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 64
    assert message in done.stderr


@pytest.mark.parametrize(
    ("environ", "arguments", "document"),
    [
        pytest.param(
            {"SERVICE_RESULT": "success", "EXIT_CODE": "exited", "EXIT_STATUS": "0", "INVOCATION_ID": "ab"},
            [],
            {"signal": "success", "run": "ab"},
            id="success",
        ),
        pytest.param(
            {"SERVICE_RESULT": "success", "EXIT_CODE": "exited", "EXIT_STATUS": "3"},
            [],
            {"signal": "success"},
            id="success_by_SuccessExitStatus",
        ),
        pytest.param(
            {"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "2"},
            [],
            {"signal": "fail", "exit_status": 2, "message": "exit-code exited 2"},
            id="exit_status",
        ),
        pytest.param(
            {"SERVICE_RESULT": "oom-kill", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"},
            [],
            {"signal": "fail", "exit_status": 137, "message": "oom-kill killed KILL"},
            id="killed",
        ),
        pytest.param(
            {"SERVICE_RESULT": "timeout", "EXIT_CODE": "exited", "EXIT_STATUS": "0"},
            [],
            {"signal": "fail", "message": "timeout exited 0"},
            id="stopped_and_ended_with_0",
        ),
        pytest.param(
            {"SERVICE_RESULT": "resources"},
            ["--message", "mine", "--run", "7"],
            {"signal": "fail", "message": "mine", "run": "7"},
            id="never_ran",
        ),
    ],
)
def test_result_of_a_service_is_taken_from_the_environment(
    environ: dict[str, str], arguments: list[str], document: dict[str, object]
) -> None:
    options = command_parser(HEARTBEAT).parse_args(["backup", "--service-result", *arguments])
    assert ping_document(options, environ) == document
