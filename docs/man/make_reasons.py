"""`make manual`: write the reasons of monitord/model.py into monitord.toml(5), between two comments there.

With --check, change nothing; the exit status is 1 if the page differs.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from monitord.model import Reason  # noqa: E402 - found by the line above

PAGE = ROOT / "docs" / "man" / "monitord.toml.5"
BEGIN = '.\\" Reasons: made by "make manual" from monitord/model.py.\n'
END = '.\\" End of the reasons.\n'


def reasons() -> str:
    """The table of all reasons, and the list of the reasons of inconclusive checks, in roff."""
    rows = [f"{_bold(reason.value)}@{_roff(reason.meaning)}" for reason in Reason]
    *first, last = [reason.value for reason in Reason if reason.is_inconclusive]
    listed = [f".BR {code} ," for code in first] + ["and", f".B {last}"]
    return "\n".join([".TS", "tab(@);", "l l.", *rows, ".TE", ".PP", "The reasons", *listed, ""])


def _bold(text: str) -> str:
    return rf"\fB{text}\fR"


def _roff(text: str) -> str:
    return re.sub(r"`([^`]+)`", lambda match: _bold(match[1]), text.replace("-", r"\-"))


def with_reasons(page: str) -> str:
    """Return the page with the current reasons. Exits if the comments around them are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{PAGE}: the comments around the reasons are missing; see {Path(__file__).name}")
    return before + begin + reasons() + end + after


def main() -> int:
    page = PAGE.read_text()
    if page == with_reasons(page):
        return 0
    if "--check" in sys.argv[1:]:
        print(f"{PAGE}: the reasons differ from monitord/model.py; run: make manual", file=sys.stderr)
        return 1
    PAGE.write_text(with_reasons(page))
    print(f"{PAGE}: regenerated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
