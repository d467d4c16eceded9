import re
import shutil
import subprocess
from pathlib import Path

import pytest

from monitord.journal_events import JournalEvent
from monitord.model import State
from monitord.systemd.journal import is_field_name

CATALOG = Path(__file__).parent.parent / "systemd" / "monitord.catalog"


def catalog_entries() -> dict[str, tuple[dict[str, str], str]]:
    """Read header and text of each ID: a header, an empty line, and text up to the next ID."""
    entries = {}
    without_comments = re.sub(r"^#.*\n", "", CATALOG.read_text(), flags=re.MULTILINE)
    for entry in re.split(r"^-- ", without_comments, flags=re.MULTILINE)[1:]:
        message_id, rest = entry.split("\n", 1)
        head, text = rest.split("\n\n", 1)
        header = dict(line.split(": ", 1) for line in head.splitlines())
        assert message_id not in entries
        entries[message_id] = (header, text)
    return entries


def test_catalog_entries_and_message_ids_correspond() -> None:
    assert sorted(catalog_entries()) == sorted(event.message_id for event in JournalEvent)


def test_ids_are_random_and_each_is_used_once() -> None:
    ids = [event.message_id for event in JournalEvent]
    assert len(set(ids)) == len(ids)
    for message_id in ids:
        assert re.fullmatch(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", message_id)  # UUID version 4


@pytest.mark.parametrize("event", JournalEvent)
def test_catalog_entry_uses_only_fields_of_its_messages(event: JournalEvent) -> None:
    header, text = catalog_entries()[event.message_id]
    assert list(header) == ["Subject", "Defined-By", "Support", "Documentation"]
    assert header["Defined-By"] == "monitord"
    assert header["Documentation"] in {"man:monitord(8)", "man:monitorctl(1)", "man:monitord.toml(5)"}
    assert set(re.findall(r"@([^@\s]*)@", header["Subject"] + text)) <= set(event.fields)
    assert (header["Subject"] + text).count("@") % 2 == 0
    assert text.strip()
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize("event", JournalEvent)
def test_field_names_are_valid_in_the_journal(event: JournalEvent) -> None:
    assert all(is_field_name(name) for name in event.fields)


@pytest.mark.parametrize("health", State)
def test_every_state_has_a_message_id(health: State) -> None:
    assert JournalEvent[f"MONITOR_{health.name}"].fields == ("MONITOR", "MONITOR_STATE", "MONITOR_REASON")


@pytest.mark.skipif(shutil.which("journalctl") is None, reason="needs journalctl")
def test_journalctl_reads_the_catalog(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/systemd/catalog").mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(CATALOG, tmp_path / "usr/lib/systemd/catalog")
    update = subprocess.run(
        ["journalctl", f"--root={tmp_path}", "--update-catalog"], capture_output=True, text=True, check=False
    )
    assert (update.returncode, update.stdout + update.stderr) == (0, "")
    listed = subprocess.run(
        ["journalctl", f"--root={tmp_path}", "--list-catalog"], capture_output=True, text=True, check=True
    )
    assert sorted(line.split()[0] for line in listed.stdout.splitlines()) == sorted(
        event.message_id for event in JournalEvent
    )
