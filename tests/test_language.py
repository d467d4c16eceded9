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


def test_a_banned_word_is_reported_with_its_line_and_replacement(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("Plain text.\nIt begins anew.\n")
    report = list(CHECK["occurrences"](str(tmp_path / "page.md")))
    assert report == [f"{tmp_path}/page.md:2: 'anew'; write: again"]
