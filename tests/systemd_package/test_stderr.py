import contextlib
import os
import pty
import socket
import tty
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from monitord.systemd.stderr import (
    MAX_LINE_CHARACTERS,
    DescriptorTransport,
    LineStyle,
    encode_line,
    style_for,
)

READ_SIZE = 1 << 20


@contextlib.contextmanager
def a_pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


@contextlib.contextmanager
def a_pipe_that_cannot_be_reopened() -> Iterator[tuple[int, int]]:
    """A pipe without a reader, for which open(2) fails; a reader opens it after the transport was created."""
    reading, writing = os.pipe()
    os.close(reading)
    yield -1, writing
    os.close(writing)


@contextlib.contextmanager
def a_terminal() -> Iterator[tuple[int, int]]:
    reading, writing = pty.openpty()
    tty.setraw(writing)
    yield reading, writing
    os.close(reading)
    os.close(writing)


@contextlib.contextmanager
def a_socket() -> Iterator[tuple[int, int]]:
    reading, writing = socket.socketpair()
    with reading, writing:
        yield reading.fileno(), writing.fileno()


@pytest.mark.parametrize("opened", [a_pipe, a_pipe_that_cannot_be_reopened, a_terminal, a_socket])
def test_stopped_reader_does_not_block_the_writer(
    opened: type[AbstractContextManager[tuple[int, int]]],
) -> None:
    with opened() as (given_reading, writing):
        transport = DescriptorTransport(writing)
        is_probe_error = given_reading < 0
        reading = os.open(f"/proc/self/fd/{writing}", os.O_RDONLY) if is_probe_error else given_reading
        line = b"x" * 999 + b"\n"
        written = bytearray()
        with contextlib.suppress(BlockingIOError):
            while True:
                written += line[: len(line) - len(transport.write(line))]
        os.set_blocking(reading, False)
        read = bytearray()
        with contextlib.suppress(BlockingIOError):
            while True:
                read += os.read(reading, READ_SIZE)
        assert len(written) > 4000
        assert read == written
        assert transport.write(b"on") == b""
        transport.close()
        assert os.get_blocking(writing)  # the shell shares this open file
        if is_probe_error:
            os.close(reading)


def test_lines_are_appended_to_a_file(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb", buffering=0) as log:
        log.write(b"before\n")
        transport = DescriptorTransport(log.fileno())
        assert transport.write(b"line\n") == b""
        transport.close()
        log.write(b"after\n")
    assert (tmp_path / "log").read_bytes() == b"before\nline\nafter\n"


def test_pipe_without_reader_is_not_retried() -> None:
    reading, writing = os.pipe()
    transport = DescriptorTransport(writing)
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        transport.write(b"line\n")
    transport.close()
    os.close(writing)


@pytest.mark.parametrize(
    ("style", "priority", "text", "line"),
    [
        pytest.param(LineStyle.PLAIN, 6, "fine", "10:00 info    fine\n", id="plain"),
        pytest.param(LineStyle.PLAIN, 4, "hm\n", "10:00 warning hm\n", id="newline at the end"),
        pytest.param(LineStyle.PLAIN, 3, "a\nb", "10:00 error   a\n    b\n", id="two lines"),
        pytest.param(LineStyle.COLOURED, 6, "fine", "10:00 info    fine\n", id="no colour for the usual"),
        pytest.param(LineStyle.COLOURED, 3, "bad", "10:00 \x1b[31merror   bad\x1b[0m\n", id="coloured"),
        pytest.param(LineStyle.JOURNAL, 6, "fine", "<6>fine\n", id="journal"),
        pytest.param(LineStyle.JOURNAL, 3, "a\nb", "<3>a\n<3>b\n", id="two lines for the journal"),
        pytest.param(LineStyle.PLAIN, 6, "\x1b[2J\0\x9b", "10:00 info    \\x1b[2J\\x00\\x9b\n", id="escapes"),
        pytest.param(LineStyle.PLAIN, 6, "a\rb\tc", "10:00 info    a\\rb\tc\n", id="carriage return and tab"),
        pytest.param(LineStyle.PLAIN, 6, "grün \udc80", "10:00 info    grün \\udc80\n", id="not ascii"),
        pytest.param(LineStyle.PLAIN, 6, "", "10:00 info    \n", id="empty"),
    ],
)
def test_line_has_the_format_of_its_style(style: LineStyle, priority: int, text: str, line: str) -> None:
    assert encode_line(style, priority, "10:00", text) == line.encode()


def test_long_line_is_truncated() -> None:
    line = encode_line(LineStyle.JOURNAL, 6, "", "x" * 1_000_000)
    assert len(line) < MAX_LINE_CHARACTERS + 100
    assert line.endswith(b"x [truncated from 1000000 characters]\n")


def test_colour_requires_a_terminal_without_no_color() -> None:
    with a_terminal() as (_, terminal), a_pipe() as (_, pipe):
        assert style_for(terminal, is_journal=False, no_color=False) is LineStyle.COLOURED
        assert style_for(terminal, is_journal=False, no_color=True) is LineStyle.PLAIN
        assert style_for(pipe, is_journal=False, no_color=False) is LineStyle.PLAIN
        assert style_for(pipe, is_journal=True, no_color=False) is LineStyle.JOURNAL
