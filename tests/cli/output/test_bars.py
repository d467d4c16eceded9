"""Bar charts: lengths and levels, in block characters and in ASCII; unknown values are blank."""

import contextlib
import io

from monitord.cli.output.bars import phase_bars, sparkline, uptime_columns, verdict_marks


def redirect_output(encoding: str) -> contextlib.redirect_stdout[io.TextIOWrapper]:
    """Redirect standard output to a buffer with this encoding."""
    return contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding=encoding))


def test_phase_begins_at_the_end_of_the_previous_phase() -> None:
    with redirect_output("utf-8"):
        lines = list(phase_bars({"connect": 0.25, "tls": 0.5, "transfer": 0.25}, 66))
        bars = [line[15:55] for line in lines]
        assert bars == ["█" * 10 + " " * 30, " " * 10 + "█" * 20 + " " * 10, " " * 30 + "█" * 10]
        assert [line[55:].strip() for line in lines] == ["250.000 ms", "500.000 ms", "250.000 ms"]


def test_shortest_phase_is_visible() -> None:
    with redirect_output("utf-8"):
        short, _ = phase_bars({"resolve": 0.000001, "tls": 1.0}, 80)
        assert "▏" in short
        assert list(phase_bars({}, 80)) == []


def test_sparkline_is_relative_to_the_largest_value() -> None:
    with redirect_output("utf-8"):
        assert sparkline([0.0, None, 1.0, 2.0, 4.0]) == "▁ ▃▅█"
        assert sparkline([None, None]) == "  "
        assert sparkline([0.0, 0.0]) == "▁▁"


def test_only_complete_uptime_is_a_full_block() -> None:
    with redirect_output("utf-8"):
        assert uptime_columns([1.0, 0.9999, 0.5, 0.0, None], colour=False) == "█▇▅▁ "
        assert uptime_columns([1.0, 0.0], colour=True) == "\x1b[32m█\x1b[0m\x1b[31m▁\x1b[0m"


def test_worse_verdicts_have_higher_marks() -> None:
    with redirect_output("utf-8"):
        assert verdict_marks(["pass", "warn", "fail", "inconclusive", None], colour=False) == "▁▄█▒ "


def test_charts_are_ascii_without_block_characters() -> None:
    with redirect_output("ascii"):
        assert verdict_marks(["pass", "warn", "fail", "inconclusive", None], colour=False) == ".wX? "
        drawn = sparkline([0.0, 1.0, 2.0, 3.0]) + uptime_columns([1.0, 0.3, 0.0], colour=False)
        drawn += "".join(phase_bars({"tls": 1.0}, 80))
        assert drawn.isascii()
        assert "#" in drawn
