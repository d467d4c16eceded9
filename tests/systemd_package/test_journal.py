import contextlib
from pathlib import Path

import pytest

from monitord.systemd.journal import (
    MAX_RECORD_BYTES,
    MAX_VALUE_BYTES,
    JournalTransport,
    encode_record,
    is_field_name,
)
from tests.systemd_package.fakes import FakeJournal, decode_record


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


@pytest.mark.parametrize(
    ("name", "is_valid"),
    [
        ("MONITOR", True),
        ("HTTP_STATUS", True),
        ("A1", True),
        ("A" * 64, True),
        ("A" * 65, False),
        ("", False),
        ("monitor", False),
        ("_PID", False),
        ("1ST", False),
        ("PHASE.TLS", False),
        ("A=B", False),
        ("A\n", False),
        ("Ä", False),
    ],
)
def test_field_names_accepted_by_journald_are_valid(name: str, is_valid: bool) -> None:
    assert is_field_name(name) is is_valid


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("GET https://example.org/ 200", id="a line"),
        pytest.param("two\nlines", id="newline"),
        pytest.param("ends\n", id="newline at the end"),
        pytest.param("\n", id="only a newline"),
        pytest.param("x\nPRIORITY=0", id="looks like a field"),
        pytest.param("a=b=c", id="equals signs"),
        pytest.param("", id="empty"),
        pytest.param("nul \0 bell \a", id="control characters"),
        pytest.param("grün ✓", id="not ascii"),
        pytest.param("y" * 20_000, id="long"),
    ],
)
def test_any_value_arrives_unchanged(value: str) -> None:
    fields = {"MESSAGE": value, "PRIORITY": "6", "MONITOR": value}
    assert decode_record(encode_record(fields)) == fields


def test_lone_surrogate_is_escaped() -> None:
    assert decode_record(encode_record({"MESSAGE": "bad \udc80"})) == {"MESSAGE": "bad \\udc80"}


def test_long_value_is_truncated_with_a_mark() -> None:
    text = "ü" * MAX_VALUE_BYTES
    cut = decode_record(encode_record({"MESSAGE": text, "MONITOR": "web"}))
    assert cut["MONITOR"] == "web"
    assert cut["MESSAGE"] == "ü" * (MAX_VALUE_BYTES // 2) + f" [truncated from {2 * MAX_VALUE_BYTES} bytes]"


def test_large_record_omits_its_last_fields() -> None:
    fields = {"MESSAGE": "text"} | {f"FIELD_{number}": "x" * 30_000 for number in range(9)}
    datagram = encode_record(fields)
    assert len(datagram) <= MAX_RECORD_BYTES
    assert list(decode_record(datagram)) == ["MESSAGE", "FIELD_0", "FIELD_1", "FIELD_2"]


def test_largest_record_fits_in_a_datagram(path: str) -> None:
    fields = {f"FIELD_{number}": "x" * MAX_VALUE_BYTES for number in range(9)}
    with FakeJournal(path) as journal, contextlib.closing(JournalTransport(path)) as transport:
        assert transport.write(encode_record(fields)) == b""
        assert len(journal.records()) == 1


def test_connecting_without_a_journal_fails(path: str) -> None:
    with pytest.raises(FileNotFoundError):
        JournalTransport(path)


def test_full_queue_of_the_journal_does_not_block(path: str) -> None:
    with FakeJournal(path) as journal, contextlib.closing(JournalTransport(path)) as transport:
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                transport.write(encode_record({"MESSAGE": "x"}))
                sent += 1
        assert journal.is_full()
        assert len(journal.records()) == sent


def test_restarted_journal_is_connected_again(path: str) -> None:
    record = encode_record({"MESSAGE": "x"})
    with FakeJournal(path) as journal, contextlib.closing(JournalTransport(path)) as transport:
        transport.write(record)
        journal.stop()
        for _ in range(2):
            with pytest.raises(BlockingIOError):
                transport.write(record)
        journal.start()
        transport.write(record)
        transport.write(record)
        assert journal.datagrams() == [record, record]
