"""The interpretation of calendar events by systemd itself: `systemd-analyze calendar`."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

PROGRAM = shutil.which("systemd-analyze")

_ELAPSE = re.compile(r"(?:Next elapse|Iter\. #\d+|Iteration #\d+): (?:never|\w{3} (.*) UTC)$")


@dataclass
class OracleResult:
    """`normal` is its normalized form, None for what it refuses; `elapses` to the second."""

    normal: str | None = None
    elapses: list[datetime] = field(default_factory=list)


def ask(texts: Sequence[str], base: datetime, iterations: int) -> list[OracleResult]:
    assert PROGRAM is not None
    done = subprocess.run(
        [PROGRAM, "calendar", f"--iterations={iterations}", f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC", "--", *texts],
        env={"TZ": "UTC", "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    by_text: dict[str, OracleResult] = {}
    said = OracleResult()
    original = ""
    for line in done.stdout.splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "Original form":
            original = value
        elif key == "Normalized form":
            # A text that is already in its normal form has no line with the original form.
            said = by_text[original or value] = OracleResult(value)
            original = ""
        elif (match := _ELAPSE.fullmatch(line.strip())) and match[1]:
            said.elapses.append(datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC))
    return [by_text.get(text, OracleResult()) for text in texts]
