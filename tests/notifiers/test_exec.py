"""The type exec: standard input, environment and exit code of the program."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.notifiers import DeliveryError, Message, NotifierTools
from monitord.notifiers.exec import ExecNotifier
from tests.alerts.fakes import T0, notification
from tests.configurations import settings_of

MESSAGE = Message((notification(),), "here", T0)


def notifier(tmp_path: Path, tools: NotifierTools, script: str, keys: str = "") -> ExecNotifier:
    program = tmp_path / "page"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    text = f'[notifiers.pager]\ncommand = ["{program}", "ops"]\n{keys}\n'
    (settings,) = settings_of(tmp_path, text).alerts.notifiers
    return ExecNotifier(settings, tools)


async def deliver(
    tmp_path: Path, tools: NotifierTools, script: str, keys: str = "", message: Message = MESSAGE
) -> str:
    return await notifier(tmp_path, tools, script, keys).deliver(message, deadline=time.monotonic() + 10)


async def test_program_receives_message_and_environment(tmp_path: Path, tools: NotifierTools) -> None:
    script = f'cd {tmp_path}; cat >json; printf "%s" "$MONITORD_TEXT" >text\n'
    script += 'printf "%s\\n" "$1" "$MONITORD_SUBJECT" "$MONITORD_KEY" "$TOKEN" "$HOME" >words\n'
    script += 'printf "%s" "$MONITORD_INSTANCE $MONITORD_LOCATION" >place; echo paged'
    message = replace(MESSAGE, location="fra")
    response = await deliver(tmp_path, tools, script, 'environment = { TOKEN = "t" }', message)
    assert response == "paged"
    assert json.loads(read(tmp_path / "json")) == message.as_json()
    assert read(tmp_path / "place") == "here fra"
    assert read(tmp_path / "text") == MESSAGE.text
    argument, subject, key, token, home = read(tmp_path / "words").splitlines()
    assert (argument, subject, key, token, home) == ("ops", MESSAGE.subject, MESSAGE.key, "t", "")


def read(file: Path) -> str:
    return file.read_text()


async def test_message_with_many_notifications_fits(tmp_path: Path, tools: NotifierTools) -> None:
    many = Message([notification(number, detail="x" * 1000) for number in range(200)], "here", T0)
    await deliver(tmp_path, tools, f"cat >{tmp_path}/out", message=many)
    assert len(json.loads(read(tmp_path / "out"))["notifications"]) == 200


async def test_text_too_long_for_the_environment_is_sent_in_parts(
    tmp_path: Path, tools: NotifierTools
) -> None:
    pager = notifier(tmp_path, tools, f'printf %s "$MONITORD_TEXT" >{tmp_path}/text')
    assert pager.fits(Message([notification(number) for number in range(200)], "here", T0))
    assert not pager.fits(
        Message([notification(number, detail="ü" * 1000) for number in range(20)], "here", T0)
    )
    await pager.deliver(
        Message([notification(tags=("ü" * 40_000,))], "here", T0), deadline=time.monotonic() + 10
    )
    assert len((tmp_path / "text").read_bytes()) <= 32 * 1024
    assert read(tmp_path / "text").startswith("DOWN: web-1")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo no modem >&2; exit 3", "exit code 3: no modem"),
        ("exit 1", "exit code 1"),
        ("kill -9 $$", "signal 9"),
    ],
)
async def test_failed_program_reports_its_exit_code_or_signal(
    tmp_path: Path, tools: NotifierTools, script: str, why: str
) -> None:
    with pytest.raises(DeliveryError) as failed:
        await deliver(tmp_path, tools, script)
    assert str(failed.value) == why


async def test_program_that_hangs_is_killed(tmp_path: Path, tools: NotifierTools) -> None:
    pager = notifier(tmp_path, tools, "exec sleep 600")
    with pytest.raises(DeliveryError, match="timeout: the program did not end"):
        await pager.deliver(MESSAGE, deadline=time.monotonic() + 0.2)


async def test_missing_program_is_named_in_the_error(tmp_path: Path, tools: NotifierTools) -> None:
    pager = notifier(tmp_path, tools, "")
    (tmp_path / "page").unlink()
    with pytest.raises(DeliveryError, match="page: No such file"):
        await pager.deliver(MESSAGE, deadline=time.monotonic() + 10)


async def test_secret_is_masked(tmp_path: Path, tools: NotifierTools) -> None:
    (tmp_path / "token").write_text("v3ry-s3cret")
    keys = f'environment = {{ TOKEN = {{ file = "{tmp_path}/token" }} }}'
    with pytest.raises(DeliveryError) as failed:
        await deliver(tmp_path, tools, 'echo "bad $TOKEN"; exit 1', keys)
    assert str(failed.value) == "exit code 1: bad ***"
