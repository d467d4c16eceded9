"""`.ci/language.py` finds the banned words, and nothing else."""

import re
import runpy
from pathlib import Path

import pytest

CHECK = runpy.run_path(str(Path(__file__).parents[1] / ".ci" / "language.py"))
PATTERN: re.Pattern[str] = CHECK["PATTERN"]


@pytest.mark.parametrize(
    "text",
    [
        "the check is begun anew",
        "every notifier is told",
        "Who asks gets it",
        "it stands for others",
        "mended",
        "by itself",
    ],
)
def test_banned_words_are_found(text: str) -> None:
    assert PATTERN.search(text)


@pytest.mark.parametrize(
    "text",
    [
        "the monitor is down",
        "a failure is confirmed",
        "the recommended value",
        "notified",
        "the test environment",
    ],
)
def test_plain_text_passes(text: str) -> None:
    assert not PATTERN.search(text)


def test_files_without_an_entry_in_the_baseline_have_no_banned_word() -> None:
    baseline: Path = CHECK["BASELINE"]
    listed = {line.split()[1] for line in baseline.read_text().splitlines()}
    assert "README.md" not in listed
    assert not list(CHECK["occurrences"]("README.md"))
