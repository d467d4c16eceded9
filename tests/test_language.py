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
        "The recovery is still notified.",
        "acknowledge the alert",
        "the changes since the period before.",
        "it is an error, too.",
        "the configured nodes and the known ones",
        "the number is stored already",
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
        "the notifier is notified",
        "the period before the failure",
        "the mail server",
    ],
)
def test_plain_text_passes(text: str) -> None:
    assert not PATTERN.search(text)


@pytest.mark.parametrize(
    ("source", "banned"),
    [
        ("def stands(): ...", "stands"),
        ("class ToldMonitor: ...", "ToldMonitor"),
        ("def test_bug_costs_one_check(): ...", "test_bug_costs_one_check"),
        ("looked_at = 1", "looked_at"),
        ("def test_the_monitor_is_down(): ...", "test_the_monitor_is_down"),
        ("def test_first_result_is_no_change(): ...", "test_first_result_is_no_change"),
    ],
)
def test_identifier_with_a_banned_word_is_reported(tmp_path: Path, source: str, banned: str) -> None:
    (tmp_path / "module.py").write_text(f"{source}\n")
    (report,) = CHECK["occurrences"](str(tmp_path / "module.py"))
    assert report.startswith(f"{tmp_path}/module.py:1: {banned!r}; write: ")


@pytest.mark.parametrize("beginning", ["Raises ValueError.", "What a check returns."])
def test_docstring_that_does_not_say_what_the_function_does_is_reported(
    tmp_path: Path, beginning: str
) -> None:
    (tmp_path / "module.py").write_text(f'def parse():\n    """{beginning}"""\n')
    (report,) = CHECK["occurrences"](str(tmp_path / "module.py"))
    assert report.startswith(f"{tmp_path}/module.py:2: ")


def test_one_for_a_noun_is_reported_across_lines(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        '"""Replace the previous\none, or one of two."""\nX = "another one"\n'
    )
    (report,) = CHECK["occurrences"](str(tmp_path / "module.py"))
    assert report.startswith(f"{tmp_path}/module.py:1: 'previous one'; write: ")


@pytest.mark.parametrize(
    ("name", "source"), [("a.py", "for one in (): ..."), ("a.html", "{% for one in rows %}")]
)
def test_loop_variable_is_a_noun(tmp_path: Path, name: str, source: str) -> None:
    (tmp_path / name).write_text(f"{source}\n")
    (report,) = CHECK["occurrences"](str(tmp_path / name))
    assert report == f"{tmp_path}/{name}:1: 'for one in'; write: the noun"


def test_identifiers_with_plain_words_pass(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "costs = 1\ndef test_standards_are_met(): ...\ndef test_host_is_no_longer_isolated(): ...\n"
    )
    assert list(CHECK["occurrences"](str(tmp_path / "module.py"))) == []


def test_banned_word_is_reported_with_its_line_and_replacement(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("Plain text.\nIt begins anew.\n")
    report = list(CHECK["occurrences"](str(tmp_path / "page.md")))
    assert report == [f"{tmp_path}/page.md:2: 'anew'; write: again"]
