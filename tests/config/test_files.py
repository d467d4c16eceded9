import os
from pathlib import Path

import pytest

from monitord.config.files import read_bounded


def test_file_is_read_up_to_one_byte_above_the_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert read_bounded(str(tmp_path / "file"), 100) == b"x" * 100
    assert read_bounded(str(tmp_path / "file"), 10) == b"x" * 11


def test_dev_null_is_read_as_an_empty_file() -> None:
    assert read_bounded(os.devnull, 10) == b""


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/full"])
def test_device_is_rejected(path: str) -> None:
    with pytest.raises(OSError, match="Not a regular file"):
        read_bounded(path, 10)


def test_fifo_with_a_writer_is_rejected(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    writer = os.open(tmp_path / "fifo", os.O_RDWR)
    try:
        os.write(writer, b"a = 1")
        with pytest.raises(OSError, match="Not a regular file"):
            read_bounded(str(tmp_path / "fifo"), 10)
    finally:
        os.close(writer)


def test_directory_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="Is a directory"):
        read_bounded(str(tmp_path), 10)
