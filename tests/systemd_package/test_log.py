import asyncio
import contextlib
import logging
import os
import pty
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.systemd.environment import ServiceEnvironment
from monitord.systemd.log import NOTICE, Destination, Log, open_log, priority_of
from tests.systemd_package.fakes import FakeJournal

LOST_ID = "5" * 32
MOST_KEPT = 400


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger that is not registered, because test runners add handlers to registered loggers."""
    own = logging.Logger("systemd_package")  # noqa: LOG001 - not registered on purpose
    yield own
    assert own.handlers == []


@pytest.fixture
def stream() -> Iterator[tuple[int, int]]:
    """A pipe instead of standard error: its reading end and its writing end."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def journal_environment(descriptor: int) -> ServiceEnvironment:
    status = os.fstat(descriptor)
    return ServiceEnvironment(journal_stream=(status.st_dev, status.st_ino))


def open_journal(path: str, logger: logging.Logger, descriptor: int, *, is_strict: bool = False) -> Log:
    return open_log(
        journal_environment(descriptor),
        logging.DEBUG,
        identifier="monitord",
        lost_message_id=LOST_ID,
        logger=logger,
        descriptor=descriptor,
        journal_path=path,
        max_queued=MOST_KEPT,
        is_strict=is_strict,
    )


def is_about_loss(record: dict[str, str]) -> bool:
    return record.get("MESSAGE_ID") == LOST_ID


def test_record_is_sent_to_the_journal_with_its_fields(
    path: str, logger: logging.Logger, stream: tuple[int, int]
) -> None:
    with FakeJournal(path) as journal, open_journal(path, logger, stream[1]) as log:
        logger.info(
            "%s: %d",
            "web",
            200,
            extra={"message_id": "1" * 32, "fields": {"MONITOR": "web", "HTTP_STATUS": "200"}},
        )
        record = journal.records()[0]
    assert log.destination is Destination.JOURNAL
    assert Path(record.pop("CODE_FILE")).name == "test_log.py"
    assert int(record.pop("CODE_LINE")) > 0
    assert record == {
        "MESSAGE": "web: 200",
        "MESSAGE_ID": "1" * 32,
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "monitord",
        "LOGGER": "systemd_package",
        "CODE_FUNC": "test_record_is_sent_to_the_journal_with_its_fields",
        "THREAD_NAME": "MainThread",
        "MONITOR": "web",
        "HTTP_STATUS": "200",
    }


@pytest.mark.parametrize(
    ("level", "priority"),
    [(10, 7), (20, 6), (NOTICE, 5), (30, 4), (40, 3), (50, 2), (99, 2), (5, 7), (35, 4)],
)
def test_levels_are_mapped_to_priorities(level: int, priority: int) -> None:
    assert priority_of(level) == priority


def test_traceback_follows_the_message(path: str, logger: logging.Logger, stream: tuple[int, int]) -> None:
    with FakeJournal(path) as journal, open_journal(path, logger, stream[1]):
        try:
            int("x")
        except ValueError:
            logger.exception("a check failed")
        message = journal.records()[0]["MESSAGE"]
    lines = message.split("\n")
    assert lines[:2] == ["a check failed", "Traceback (most recent call last):"]
    assert lines[-1] == "ValueError: invalid literal for int() with base 10: 'x'"


@pytest.mark.parametrize("name", ["monitor", "_PID", "PRIORITY", "MESSAGE", "A B"])
def test_invalid_field_name_raises_if_strict_and_is_reported_otherwise(
    path: str, logger: logging.Logger, stream: tuple[int, int], name: str
) -> None:
    fields = {"MONITOR": "web", name: "x"}
    with FakeJournal(path) as journal:
        with open_journal(path, logger, stream[1]):
            logger.info("text", extra={"fields": fields})
            record = journal.records()[0]
        with (
            open_journal(path, logger, stream[1], is_strict=True),
            pytest.raises(ValueError, match=f"invalid names of journal fields: {name}; use upper-case"),
        ):
            logger.info("text", extra={"fields": fields})
        assert journal.records() == []
    assert (record["MESSAGE"], record["MONITOR"], record["FIELDS_REJECTED"]) == ("text", "web", name)
    assert record["PRIORITY"] == "6"


def test_log_call_with_wrong_arguments_becomes_an_error_without_them(
    path: str, logger: logging.Logger, stream: tuple[int, int], capfd: pytest.CaptureFixture[str]
) -> None:
    with FakeJournal(path) as journal, open_journal(path, logger, stream[1]):
        logger.info("%d monitors", "s3cret")
        record = journal.records()[0]
    assert record["MESSAGE"] == "a log message cannot be formatted: TypeError"
    assert record["PRIORITY"] == "3"
    assert "s3cret" not in str(record)
    assert capfd.readouterr() == ("", "")


async def test_stopped_journal_does_not_block_the_loop_and_losses_are_counted(
    path: str, logger: logging.Logger, stream: tuple[int, int]
) -> None:
    loop = asyncio.get_running_loop()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    with FakeJournal(path) as journal, open_journal(path, logger, stream[1]) as log:
        log.attach(loop)
        ticking = asyncio.create_task(tick())
        count = 2000
        for number in range(count):
            logger.info("check %d", number)
            if number % 100 == 0:
                await asyncio.sleep(0)
        assert journal.is_full()  # a send that blocks would not have come back
        assert ticks >= count // 100
        logger.log(NOTICE, "web is down")
        lost = log.lost_total
        assert 0 < lost < count

        async with asyncio.timeout(20):
            records = [
                record
                for record in await journal.records_until(is_about_loss)
                if record["MESSAGE"] != "is there room"
            ]
        ticking.cancel()
        await asyncio.wait([ticking])
        log.detach()
    record = records.pop()
    assert record["MESSAGE"] == f"{lost} log messages lost: the queue was full while none could be written"
    assert (record["LOG_MESSAGES_LOST"], record["PRIORITY"]) == (str(lost), "4")
    assert records.pop()["MESSAGE"] == "web is down"
    assert [record["MESSAGE"] for record in records] == [f"check {number}" for number in range(count - lost)]


async def test_restarted_journal_receives_the_queued_messages(
    path: str, logger: logging.Logger, stream: tuple[int, int]
) -> None:
    with FakeJournal(path) as journal, open_journal(path, logger, stream[1]) as log:
        log.attach(asyncio.get_running_loop())
        logger.info("before")
        assert [record["MESSAGE"] for record in journal.records()] == ["before"]
        journal.stop()
        logger.info("later 1")
        logger.info("later 2")
        assert log.queued == 2
        journal.start()
        async with asyncio.timeout(10):
            records = await journal.records_until(lambda record: record["MESSAGE"] == "later 2")
        assert [record["MESSAGE"] for record in records] == ["later 1", "later 2"]
        assert log.lost_total == 0
        log.detach()


async def test_threads_log_to_a_stopped_journal(
    path: str, logger: logging.Logger, stream: tuple[int, int]
) -> None:
    with FakeJournal(path) as journal, open_journal(path, logger, stream[1]) as log:
        log.attach(asyncio.get_running_loop())

        def talk() -> None:
            for number in range(50):
                logger.warning("%s %d", threading.current_thread().name, number)

        threads = [threading.Thread(target=talk, name=f"talker-{index}") for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        seen: list[dict[str, str]] = []
        async with asyncio.timeout(20):
            while len(seen) < 200:
                seen += await journal.records_until(lambda _: True)
        log.detach()
    assert log.lost_total == 0
    for thread in threads:
        numbers = [
            int(record["MESSAGE"].split()[1]) for record in seen if record["THREAD_NAME"] == thread.name
        ]
        assert numbers == list(range(50))


def test_without_a_loop_the_next_message_retries_the_queue(
    path: str, logger: logging.Logger, stream: tuple[int, int]
) -> None:
    with FakeJournal(path) as journal, open_journal(path, logger, stream[1]) as log:
        while log.queued == 0:
            logger.info("early")
        journal.datagrams()
        logger.info("late")
        assert [record["MESSAGE"] for record in journal.records()] == ["early", "late"]


def test_journal_without_its_socket_receives_lines_with_priorities(
    path: str, logger: logging.Logger, stream: tuple[int, int]
) -> None:
    reading, writing = stream
    with open_journal(path, logger, writing) as log:
        logger.warning("careful\nvery", extra={"fields": {"MONITOR": "web"}})
        assert log.destination is Destination.STDERR
        assert os.read(reading, 1000) == b"<4>careful\n<4>very\n"


def test_redirected_standard_error_receives_plain_lines(
    path: str, logger: logging.Logger, stream: tuple[int, int]
) -> None:
    reading, writing = stream
    inherited = ServiceEnvironment(journal_stream=(1, 1))
    with (
        FakeJournal(path) as journal,
        open_log(inherited, logger=logger, descriptor=writing, journal_path=path, environ={}),
    ):
        logger.debug("not at this level")
        logger.info("fine")
        line = os.read(reading, 1000).decode()
        assert journal.records() == []
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ info    fine\n", line)


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        pytest.param({}, r"\d\d:\d\d:\d\d \x1b\[31merror   bad\x1b\[0m\r\n", id="colour"),
        pytest.param({"NO_COLOR": "1"}, r"\d{4}-.*Z error   bad\r\n", id="NO_COLOR"),
    ],
)
def test_terminal_receives_colour_without_no_color(
    logger: logging.Logger, environ: dict[str, str], line: str
) -> None:
    reading, terminal = pty.openpty()
    with open_log(ServiceEnvironment(), logger=logger, descriptor=terminal, environ=environ):
        logger.error("bad")
        assert re.fullmatch(line, os.read(reading, 1000).decode())
    os.close(reading)
    os.close(terminal)


async def test_full_pipe_does_not_block_the_loop(logger: logging.Logger, stream: tuple[int, int]) -> None:
    reading, writing = stream
    with open_log(
        ServiceEnvironment(), logger=logger, descriptor=writing, environ={}, max_queued=MOST_KEPT
    ) as log:
        log.attach(asyncio.get_running_loop())
        count = 4000
        for number in range(count):
            logger.info("check %d", number)
        lost = log.lost_total
        assert lost > 0
        text = ""
        async with asyncio.timeout(20):
            while "lost" not in text:
                with contextlib.suppress(BlockingIOError):
                    text += os.read(reading, 1 << 20).decode()
                await asyncio.sleep(0)
        log.detach()
    *lines, last = text.splitlines()
    assert [line.split(" ", 2)[2].strip() for line in lines] == [
        f"check {number}" for number in range(count - lost)
    ]
    assert f"warning {lost} log messages lost" in last


def test_close_waits_for_the_last_messages(
    path: str, logger: logging.Logger, stream: tuple[int, int]
) -> None:
    with FakeJournal(path) as journal:
        log = open_journal(path, logger, stream[1])
        while log.queued < 3:
            logger.info("x")
        reader = threading.Timer(0.05, journal.datagrams)
        reader.start()
        log.close(grace_s=20)
        reader.join()
        log.close()
        assert len(journal.records()) == 3
    assert logger.handlers == []
