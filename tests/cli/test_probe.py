"""`monitorctl probe` against real servers: the command line, the output and the exit statuses."""

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.cli.probe import UsageError, keys_of_target, main
from tests.certificates import DAY, Authority
from tests.servers import free_port, respond, serve
from tests.stream_servers import LINE, Part

ROOT = Path(__file__).parent.parent.parent

Capture = pytest.CaptureFixture[str]


async def probe(*arguments: str) -> int:
    return await asyncio.to_thread(main, arguments)


# Targets


@pytest.mark.parametrize(
    ("target", "keys"),
    [
        ("https://a.test/x?y=1", {"type": "http", "url": "https://a.test/x?y=1"}),
        ("http+unix://%2Frun%2Fa.sock/x", {"type": "http", "url": "http+unix://%2Frun%2Fa.sock/x"}),
        ("tcp://a.test:25", {"type": "tcp", "address": "a.test:25"}),
        ("tcp:[::1]:25", {"type": "tcp", "address": "[::1]:25"}),
        ("unix:/run/a.sock", {"type": "tcp", "address": "unix:/run/a.sock"}),
        ("tls://a.test/", {"type": "tls", "address": "a.test"}),
        ("icmp://192.0.2.1", {"type": "icmp", "host": "192.0.2.1"}),
        ("dns:a.test", {"type": "dns", "name": "a.test"}),
        ("dns:///a.test", {"type": "dns", "name": "a.test"}),
        (
            "dns://192.0.2.53:5353/a.test?type=MX&protocol=tcp",
            {
                "type": "dns", "name": "a.test", "server": "192.0.2.53", "port": 5353, "record_type": "MX",
                "protocol": "tcp",
            },
        ),
        ("dns://[2001:db8::53]/a.test", {"type": "dns", "name": "a.test", "server": "2001:db8::53"}),
        ("exec:/bin/check -w 'a b'", {"type": "exec", "command": ["/bin/check", "-w", "a b"]}),
    ],
)  # fmt: skip
def test_target_determines_type_and_address(target: str, keys: dict[str, object]) -> None:
    assert keys_of_target(target) == keys


def test_type_option_determines_the_key_of_the_target() -> None:
    assert keys_of_target("a.test:25", "tcp") == {"address": "a.test:25"}


@pytest.mark.parametrize("target", ["a.test", "ftp://a.test/", "https:a.test", "exec:'", "dns://a:x/b", ""])
def test_invalid_target_is_rejected(target: str) -> None:
    with pytest.raises(UsageError):
        keys_of_target(target)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the target is missing; write https://HOST/PATH"),
        (["a.test"], "'a.test' does not determine a type; write https://"),
        (["tcp://a.test"], 'address: "a.test" is not an address; write "host:port"'),
        (["dns:"], 'name: "" is not a DNS name; write a name such as "www.example.org"'),
        (["dns://127.0.0.1/"], 'name: "" is not a DNS name; write a name such as "www.example.org"'),
        (["http://a.test/", "--option", "verify"], "--option 'verify' has no value; write KEY=VALUE"),
        (["http://a.test/", "--option", "verfy=false"], 'verfy: unknown key; did you mean "verify"?'),
        (["http://a.test/", "-H", "X"], "the header 'X' has no value"),
        (["http://a.test/", "--up-when", "status = 1"], 'up_when[0]: "status = 1" at column 8'),
        (["http://a.test/", "--timeout", "5 min"], 'timeout: "5 min" is not a duration; write "5m"'),
        (["--type", "htp", "a:1"], "'a:1' does not determine a type"),
        (["--type", "htp"], 'type: "htp" is not a monitor type'),
        (
            ["tcp://a.test:1", "--method", "GET"],
            "method: unknown key; remove it, or see monitord-monitors(5) and monitord.toml(5)",
        ),
    ],
)
def test_usage_error_has_a_hint(arguments: list[str], says: str, capsys: Capture) -> None:
    assert main(arguments) == 64
    assert f"monitorctl probe: {says}" in capsys.readouterr().err


# Results


async def test_request_follows_the_command_line(capsys: Capture) -> None:
    async with serve(respond()) as server:
        code = await probe(
            f"http://127.0.0.1:{server.port}/x", "--method", "put", "-H", "X-One: 1", "--header", "X-Two:2",
            "--option", 'headers={ X-Three = "3" }', "--option", "body=hello", "--option", "timeout=3s",
        )  # fmt: skip
    assert code == 0, capsys.readouterr()
    (request,) = server.requests
    assert (request.method, request.target, request.body) == ("PUT", "/x", b"hello")
    assert [request.headers[name] for name in ("x-one", "x-two", "x-three")] == ["1", "2", "3"]


async def test_phases_are_consecutive_bars(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    async with serve(respond()) as server:
        assert await probe(f"http://127.0.0.1:{server.port}/") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"pass  GET http://127.0.0.1:{server.port}/ 200, 2 bytes, ")
    bars = [line for line in lines if "█" in line or re.search("[▏▎▍▌▋▊▉]", line)]
    assert [line.split()[0] for line in bars] == ["connect", "processing", "transfer"]
    assert all(re.search(r" \d+\.\d{3} ms$", line) and len(line) <= 60 for line in bars)
    begins = [re.search("[█▏▎▍▌▋▊▉]", line) for line in bars]
    assert sorted(match.start() for match in begins if match) == [match.start() for match in begins if match]
    assert any(line.split() == ["status", "200"] for line in lines)


async def test_conditions_are_shown_with_their_values(capsys: Capture) -> None:
    async with serve(respond()) as server:
        code = await probe(
            f"http://127.0.0.1:{server.port}/", "--up-when", "status == 201", "--up-when", "body == 'ok'",
            "--degraded-when", "response_time > 0s",
        )  # fmt: skip
    out = capsys.readouterr().out
    assert code == 2
    assert "\nreason         condition_failed (a condition is not met, or invert is set)\n" in out
    assert "\nup_when        not met  status == 201 (actual: 200)\n" in out
    assert "\nup_when        met      body == 'ok' (actual: 'ok')\n" in out
    assert re.search(r"^degraded_when  met      response_time > 0s \(", out, re.MULTILINE)
    assert "\n| HTTP/1.1 200 OK\n|\n| ok\n" in out


async def test_certificate_is_shown(capsys: Capture, tmp_path: Path) -> None:
    authority = Authority()
    ca_file = authority.write(tmp_path / "ca.pem")
    issued = authority.issue("one.test", directory=tmp_path, valid_until=9 * DAY)
    async with serve(respond(), tls=issued.server_context()) as server:
        trusted = ("--option", f"ca_file={ca_file}", "--option", "server_name=one.test")
        assert await probe(f"tls://127.0.0.1:{server.port}", *trusted) == 0
        out = capsys.readouterr().out
        assert await probe(f"https://127.0.0.1:{server.port}/") == 2
    assert re.search(r"^tls            TLSv1\.3, TLS_", out, re.MULTILINE)
    assert re.search(r"^certificate    expires in (8\.9|9\.0) days, at 20", out, re.MULTILINE)
    assert "\n               subject: CN=one.test, O=Tests\n" in out
    assert (
        "\nreason         tls_untrusted (the certificate has no trusted issuer)\n" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("exit_code", "end"), [(0, 0), (1, 1), (2, 2), (3, 3)], ids=["pass", "warn", "fail", "inconclusive"]
)
async def test_exit_status_is_that_of_nagios_plugins(capsys: Capture, exit_code: int, end: int) -> None:
    assert await probe(f"exec:/bin/sh -c 'exit {exit_code}'") == end


async def test_several_checks_have_the_worst_exit_status_and_a_summary(
    capsys: Capture, tmp_path: Path
) -> None:
    count = f"cd {tmp_path}; echo >> count; exec test $(wc -l < count) -ne 2"
    script = tmp_path / "script"
    script.write_text(count)
    assert await probe(f"exec:/bin/sh {script}", "--count", "3", "--interval", "10ms") == 1
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if "exit code" in line and "sh:" in line] == [
        "pass", "warn", "pass",
    ]  # fmt: skip
    assert re.search(r"^3 checks: 2 pass, 1 warn; duration: min .+, mean .+, max .+$", out, re.MULTILINE)


async def test_json_is_one_object(capsys: Capture) -> None:
    port = free_port()
    arguments = ("--json", f"tcp://127.0.0.1:{port}", "--count", "2", "--interval", "0s")
    assert await probe(*arguments) == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["type"], document["verdict"]) == ("tcp", "fail")
    assert [(result["verdict"], result["reason"]) for result in document["results"]] == [
        ("fail", "refused")
    ] * 2


async def test_timeout_ends_the_check(capsys: Capture) -> None:
    async with serve(Part(LINE).play) as server:
        code = await probe(
            f"tcp://127.0.0.1:{server.port}", "--timeout", "100ms", "--option", 'dialogue=[{ expect = "x" }]'
        )
    assert code == 2
    assert "timeout_response" in capsys.readouterr().out


async def test_control_characters_of_a_peer_are_not_printed(capsys: Capture) -> None:
    async with serve(respond("500 \x1b[31mOops", b"\x1b]0;title\x07\x1b[2Jbody")) as server:
        assert await probe(f"http://127.0.0.1:{server.port}/", "--up-when", "body == 'x'") == 2
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "| body" in out


async def test_secret_is_not_printed(capsys: Capture) -> None:
    async with serve(respond("500 Oops", b"your token is s3cret-word")) as server:
        url = f"http://127.0.0.1:{server.port}/?token=s3cret-word"
        assert await probe(url, "--option", "bearer_token=s3cret-word", "--up-when", "body == 'x'") == 2
        assert await probe(url, "--json", "-H", "X-Api-Key: s3cret-word") == 2
    out = capsys.readouterr().out
    assert "s3cret" not in out
    assert "your token is ***" in out


# As a command


def on_a_terminal(*arguments: str, **environment: str) -> tuple[int, str]:
    """The output on a terminal, and the exit status."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "monitord.cli", "probe", *arguments]
    unset = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        command, cwd=ROOT, env={**unset, "TERM": "xterm", **environment}, stdout=theirs, stdin=theirs
    ) as process:
        os.close(theirs)
        printed = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # EIO: the other end is closed
                break
            if not piece:
                break
            printed += piece
    os.close(ours)
    return process.returncode, printed.decode()


@pytest.mark.parametrize(
    ("environment", "is_coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=["terminal", "NO_COLOR", "dumb"],
)
def test_colours_are_for_terminals_only(environment: dict[str, str], is_coloured: bool) -> None:
    code, printed = on_a_terminal("exec:/bin/true", **environment)
    assert code == 0
    assert ("\x1b[32mpass\x1b[0m" in printed) is is_coloured
    assert "pass" in printed


def as_a_command(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "monitord.cli", *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_probe_needs_no_daemon(tmp_path: Path) -> None:
    done = as_a_command("probe", "exec:/bin/false", MONITORD_SOCKET=f"{tmp_path}/nowhere")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("warn  false: no output (exit code 1, ")
    assert "\x1b" not in done.stdout


def test_options_may_precede_the_target() -> None:
    done = as_a_command("probe", "--json", "exec:/bin/true")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "pass")


def test_bars_are_ascii_without_block_characters() -> None:
    done = as_a_command("probe", f"tcp://127.0.0.1:{free_port()}", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert re.search(r"^connect +#+ +[\d.]+ ms$", done.stdout, re.MULTILINE)


def test_unprintable_characters_are_replaced() -> None:
    done = as_a_command("probe", r"exec:/usr/bin/printf 'caf\303\251'", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pass  printf: caf? (exit code 0")


def test_other_commands_reject_unknown_options() -> None:
    done = as_a_command("version", "--nothing")
    assert done.returncode == 64
    assert "unrecognized arguments: --nothing" in done.stderr


HELP: list[Callable[[], "subprocess.CompletedProcess[str]"]] = [
    lambda: as_a_command("probe", "--help"),
    lambda: as_a_command("--help"),
]


@pytest.mark.parametrize("ask", HELP, ids=["probe", "monitorctl"])
def test_probe_has_its_own_help(ask: Callable[[], "subprocess.CompletedProcess[str]"]) -> None:
    done = ask()
    assert done.returncode == 0
    assert "probe" in done.stdout
