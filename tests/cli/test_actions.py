"""The commands that change something: the requests, the output and the permissions."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.cli.control_command import main
from monitord.cli.parsing import future_time
from monitord.config import Secret
from monitord.dispatch import Matcher
from monitord.status import AccessPolicy, AccessToken
from monitord.web import Server
from tests.cli.running_daemon import RunningDaemon, running_daemon
from tests.endpoint import make_world

Capture = pytest.CaptureFixture[str]


async def go_down(daemon: RunningDaemon) -> None:
    """`bad` is down."""
    for _ in range(2):
        await daemon.ctl("check", "bad")


async def test_pause_and_resume_send_the_user_and_the_comment(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("pause", "good", "-c", "moving house") == 0
        assert re.fullmatch(r"good: paused by .+; state: paused\n", capsys.readouterr().out)
        assert await daemon.ctl("show", "good") == 0
        assert capsys.readouterr().out.count("aused by ") == 1
        assert await daemon.ctl("resume", "good", "--json") == 0
        assert json.loads(capsys.readouterr().out)["monitor"]["paused_by"] is None
        acts = daemon.world.interventions.asked
    assert [act[:2] for act in acts] == [("pause", "good"), ("resume", "good")]
    assert acts[0][3] == "moving house"


async def test_ack_needs_an_open_incident(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("ack", "good") == 1
        assert "good: no open incident" in capsys.readouterr().err
        await go_down(daemon)
        capsys.readouterr()
        assert await daemon.ctl("ack", "bad", "--comment", "on it") == 0
        assert capsys.readouterr().out.startswith("bad: acknowledged by ")
        assert daemon.world.interventions.asked[-1][0::3] == ("acknowledge", "on it")


async def test_unack_removes_the_acknowledgement(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        await go_down(daemon)
        assert await daemon.ctl("unack", "bad") == 1
        assert "bad: no acknowledged incident" in capsys.readouterr().err
        await daemon.ctl("ack", "bad")
        capsys.readouterr()
        assert await daemon.ctl("unack", "bad") == 0
        assert re.fullmatch(r"bad: acknowledgement removed by .+; state: down\n", capsys.readouterr().out)
        assert await daemon.ctl("unack", "b*") == 1
    assert daemon.world.interventions.asked[-1][:2] == ("unacknowledge", "bad")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["good", "bad"], ["bad", "good"]),
        (["*"], ["a.b-c_d", "bad", "good"]),
        (["g*", "bad"], ["bad", "good"]),
        (["--tag", "prod"], ["good"]),
        (["*o*", "--tag", "prod"], ["good"]),
    ],
)
async def test_action_on_several_monitors_prints_a_line_for_each(
    tmp_path: Path, capsys: Capture, arguments: list[str], names: list[str]
) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("pause", *arguments, "-c", "moving") == 0
        lines = sorted(capsys.readouterr().out.splitlines())
        assert [line.partition(":")[0] for line in lines] == names
        assert all(line.endswith("; state: paused") for line in lines)
        assert await daemon.ctl("resume", *arguments, "--json") == 0
        answer = json.loads(capsys.readouterr().out)
        assert sorted(monitor["name"] for monitor in answer["monitors"]) == names
        assert await daemon.ctl("check", *arguments) == (2 if "bad" in names else 0)
        assert sorted(line.partition(":")[0] for line in capsys.readouterr().out.splitlines()) == names


@pytest.mark.parametrize(
    "command", ["ack", "unack", "pause", "resume", "check", "show", "results", "explain", "history"]
)
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["good", "goood"], "'goood'; did you mean good?"),
        (["good", "mon9/good"], "no monitor has the name 'mon9/good'; monitorctl status lists the"),
        (["--", "-x"], "no monitor has the name '-x'"),
        (["good", "xyzzy"], "no monitor has the name 'xyzzy'; monitorctl status lists the"),
        (["db-*"], "no monitor matches 'db-*'"),
        (["--tag", "prd"], "no monitor has the tag 'prd'; did you mean prod?"),
    ],
)
async def test_unknown_selection_is_an_error_and_changes_nothing(
    tmp_path: Path, capsys: Capture, command: str, arguments: list[str], says: str
) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl(command, *arguments) == 1
        out, err = capsys.readouterr()
        assert (out, says in err) == ("", True)
        assert daemon.world.interventions.asked == []
        assert all(entry.state.last is None for entry in daemon.world.dispatcher.entries.values())


@pytest.mark.parametrize(
    "command", ["ack", "unack", "pause", "resume", "check", "show", "results", "explain", "history"]
)
def test_action_without_a_selection_is_a_usage_error(capsys: Capture, command: str) -> None:
    with pytest.raises(SystemExit, match="64"):
        main([command])
    assert (
        "no monitor is selected; write NAME, a pattern such as 'db-*', or --tag TAG"
        in capsys.readouterr().err
    )


async def test_pattern_skips_monitors_without_an_open_incident(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        await go_down(daemon)
        capsys.readouterr()
        assert await daemon.ctl("ack", "*") == 0
        out, err = capsys.readouterr()
    assert out.startswith("bad: acknowledged by ")
    assert sorted(err.splitlines()) == [
        "a.b-c_d: skipped: no open incident (state: pending)",
        "good: skipped: no open incident (state: pending)",
    ]


@pytest.mark.parametrize(
    ("command", "key"), [("show", "name"), ("results", "monitor"), ("explain", "name"), ("history", "series")]
)
async def test_json_of_several_monitors_is_a_list(
    tmp_path: Path, capsys: Capture, command: str, key: str
) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl(command, "good", "b*", "--json") == 0
        assert len([monitor[key] for monitor in json.loads(capsys.readouterr().out)["monitors"]]) == 2
        assert await daemon.ctl(command, "good", "--json") == 0
        assert key in json.loads(capsys.readouterr().out)
        assert await daemon.ctl(command, "--tag", "prod") == 0
        assert "good" in capsys.readouterr().out
        for read in ("incidents", "notifications", "events"):
            assert await daemon.ctl(read, "g*", "--tag", "prod") == 0
            assert await daemon.ctl(read, "zzz*") == 1


async def test_silence_is_created_listed_and_ended(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        arguments = ("good", "--pattern", "db-*", "--tag", "prod", "--for", "2h", "-c", "new disk")
        assert await daemon.ctl("silence", *arguments) == 0
        assert capsys.readouterr().out.startswith("s0: good, db-* with tag prod silenced until 2026-01-01 0")
        (silence,) = daemon.world.interventions.silences
        assert await daemon.ctl("silences") == 0
        head, row = capsys.readouterr().out.splitlines()
        assert head.split() == ["ID", "UNTIL", "(UTC)", "BY", "MONITORS", "COMMENT"]
        assert row.startswith("s0  2026-01-01 ")
        assert await daemon.ctl("silences", "--json") == 0
        assert json.loads(capsys.readouterr().out)["silences"][0]["comment"] == "new disk"
        assert await daemon.ctl("unsilence", "s0") == 0
        assert capsys.readouterr().out == "s0: ended\n"
        assert await daemon.ctl("unsilence", "s0") == 1
        assert "no silence has the ID 's0'" in capsys.readouterr().err
        assert await daemon.ctl("silences") == 0
        assert capsys.readouterr().out == "no silences\n"
    assert (silence.matcher.names, silence.matcher.patterns) == (("good",), ("db-*",))
    assert silence.matcher.tags == ("prod",)
    assert abs(silence.until - silence.since - timedelta(hours=2)) < timedelta(seconds=1)


async def test_unsilence_reports_unknown_ids_and_expires_the_others(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        for name in ("good", "bad"):
            await daemon.ctl("silence", name, "--for", "2h")
        capsys.readouterr()
        assert await daemon.ctl("unsilence", "s0", "nosuch", "s1") == 1
        out, err = capsys.readouterr()
        assert (out, "no silence has the ID 'nosuch'" in err) == ("s0: ended\ns1: ended\n", True)
        assert daemon.world.interventions.silences == []


@pytest.mark.parametrize(
    ("arguments", "ended", "complaint"),
    [
        (["good"], ["s0"], ""),
        (["b*"], ["s1"], ""),
        (["db-*"], ["s2"], ""),
        (["*"], ["s0", "s1", "s2", "s3"], ""),
        (["good", "x1"], ["s0"], "silence s3 also applies to x2; write its ID to end it"),
        (["x1", "x2"], ["s3"], ""),
        (["s3", "bad"], ["s3", "s1"], ""),
        (["--tag", "prod"], ["s2", "s4"], ""),
        (["--tag", "prod", "db-*"], ["s2"], ""),
        (
            ["--tag", "porduction"],
            [],
            "no silence has the tag porduction; monitorctl silences lists the silences",
        ),
        (["goof"], [], "no silence has the ID 'goof' or applies to monitors of this name"),
    ],
)
async def test_unsilence_selects_by_name_pattern_and_tag(
    tmp_path: Path, capsys: Capture, arguments: list[str], ended: list[str], complaint: str
) -> None:
    async with running_daemon(tmp_path) as daemon:
        until = datetime.now(UTC) + timedelta(hours=1)
        for matcher in (
            Matcher(names=("good",)),
            Matcher(names=("bad",)),
            Matcher(patterns=("db-*",), tags=("prod",)),
            Matcher(names=("x1", "x2")),
            Matcher(tags=("prod",)),
        ):
            daemon.world.interventions.silence(matcher, until, None, "kim")
        assert await daemon.ctl("unsilence", *arguments) == (1 if complaint else 0)
        out, err = capsys.readouterr()
        left = {silence.id for silence in daemon.world.interventions.silences}
    assert out == "".join(f"{silence_id}: ended\n" for silence_id in ended)
    assert complaint in err
    assert left == {"s0", "s1", "s2", "s3", "s4"} - set(ended)


async def test_unsilence_without_a_selection_is_a_usage_error(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        with pytest.raises(SystemExit):
            await daemon.ctl("unsilence")
    assert "no silence is selected; write ID, NAME" in capsys.readouterr().err


async def test_silence_without_a_matching_monitor_is_reported(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("silence", "--pattern", "goo*", "--tag", "porduction", "--for", "2h") == 0
        out, err = capsys.readouterr()
    assert out.startswith("s0: goo* with tag porduction silenced until ")
    assert err == "monitorctl: no monitor has the tag 'porduction'; the silence applies to future monitors\n"


@pytest.mark.parametrize(
    ("until", "says"),
    [
        pytest.param(
            "2025-12-31T18:00Z",
            "monitorctl: --until: 2025-12-31 18:00:00 UTC is in the past; write a later time\n",
            id="past",
        ),
        pytest.param(
            "2027-01-03T00:00Z",
            "monitorctl: --until: 2027-01-03 00:00:00 UTC is more than 366 days ahead; write an earlier time\n",
            id="too_far",
        ),
    ],
)
async def test_end_of_a_silence_is_limited(tmp_path: Path, capsys: Capture, until: str, says: str) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("silence", "good", "--until", until) == 1
    assert capsys.readouterr().err == says


async def test_duration_of_a_silence_is_limited(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("silence", "good", "--for", "400d") == 1
    assert capsys.readouterr().err == "monitorctl: --for: is more than 366 days; write a shorter duration\n"


async def test_error_names_the_monitor_and_no_key_of_the_api(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("ack", "b*", "nope") == 1
    assert capsys.readouterr().err == (
        "monitorctl: no monitor has the name 'nope'; monitorctl status lists the monitors\n"
    )


async def test_silence_can_end_at_a_time(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("silence", "good", "--until", "2026-01-02T12:00+01:00", "--json") == 0
    assert json.loads(capsys.readouterr().out)["until"] == "2026-01-02T11:00:00.000Z"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--for", "1h"], "no monitor is selected; write NAME, a pattern such as 'db-*', or --tag TAG"),
        (["good"], "one of the arguments --for --until is required"),
        (["good", "--for", "5 min"], "'5 min' is not a duration; write \"5m\""),
        (["good", "--for", "0"], "'0' is zero; write something like 2h"),
        (["good", "--until", "tonight"], "'tonight' is not a time; write 18:00,"),
        (["good", "--until", "9999-12-31T23:00-10:00"], "is out of range; write a year from 1970 to 9998"),
        (["good", "--until", "0001-01-01T00:00+10:00"], "is out of range; write a year from 1970 to 9998"),
    ],
)
def test_usage_error_of_silence_has_a_hint(capsys: Capture, arguments: list[str], says: str) -> None:
    with pytest.raises(SystemExit, match="64"):
        main(["silence", *arguments])
    assert says in capsys.readouterr().err


def test_time_of_day_means_its_next_occurrence() -> None:
    now = datetime.now(UTC)
    for hour in range(24):
        meant = future_time(f"{hour:02}:30")
        assert timedelta() < meant - now <= timedelta(hours=24, minutes=1)
        assert (meant.hour, meant.minute, meant.tzinfo) == (hour, 30, UTC)
    assert future_time("2031-02-03 04:05") == datetime(2031, 2, 3, 4, 5, tzinfo=UTC)


def test_time_of_day_is_in_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert future_time("18:00").hour == 9
    assert future_time("2031-02-03 04:05") == datetime(2031, 2, 2, 19, 5, tzinfo=UTC)


# Over TCP


async def test_token_file_allows_changes_over_tcp(tmp_path: Path, capsys: Capture) -> None:
    world = make_world(policy=AccessPolicy(tokens=(AccessToken("laptop", Secret("s3cret")),)))
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    try:
        async with Server(world.status_application, host="127.0.0.1", port=0) as server:
            daemon = RunningDaemon(world, tmp_path)
            place = ("--url", f"http://127.0.0.1:{server.port}/")
            assert await daemon.run(*place, "status") == 0
            assert "3 monitors" in capsys.readouterr().out
            assert await daemon.run(*place, "pause", "good") == 1
            assert "changes require a token; pass its file with --token-file\n" in capsys.readouterr().err
            other = tmp_path / "other"
            other.write_text("another\n")
            assert await daemon.run(*place, "--token-file", str(other), "pause", "good") == 1
            assert capsys.readouterr().err == (
                f"monitorctl: {other}: the daemon does not accept this token; "
                "compare it with the tokens in [status.tokens.NAME] of the daemon\n"
            )
            assert await daemon.run(*place, "--token-file", str(token), "pause", "good") == 0
            assert "paused by token laptop, from " in capsys.readouterr().out
            assert await daemon.run(*place, "--token-file", str(tmp_path / "none"), "pause", "good") == 1
            assert "cannot read the token: " in capsys.readouterr().err
        assert await daemon.run(*place, "status") == 3
        assert "Connection refused; correct --url: it must be" in capsys.readouterr().err
    finally:
        await world.dispatcher.close(0.0)


@pytest.mark.parametrize(
    "url",
    ["http://", "http://:80", "http://h:99999", "http://h:x", "http://[::1", "http://a..b", "http://h/\u00e9",
     "http://h/a b", "http://h\n/", "http://u:p@h/", "http://h/?x"],
)  # fmt: skip
def test_invalid_url_is_a_usage_error(capsys: Capture, url: str) -> None:
    with pytest.raises(SystemExit, match="64"):
        main(["--url", url, "status"])
    assert "is not a URL of a daemon; write http://HOST:PORT" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["one\ntwo\n", "caf\u00e9\n", "", "\x1b[2J\n"])
def test_token_that_cannot_be_sent_is_an_error(tmp_path: Path, capsys: Capture, content: str) -> None:
    (tmp_path / "token").write_text(content)
    assert main(["--url", "http://127.0.0.1:1", "--token-file", str(tmp_path / "token"), "reload"]) == 1
    assert "token: the file does not contain a token" in capsys.readouterr().err


def test_socket_and_url_exclude_each_other(capsys: Capture) -> None:
    for arguments in (["--socket", "/a", "--url", "http://b"], ["--url", "b:9120"]):
        with pytest.raises(SystemExit, match="64"):
            main([*arguments, "status"])
    assert "'b:9120' is not a URL of a daemon; write http://HOST:PORT" in capsys.readouterr().err
