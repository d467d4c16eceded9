"""`make manual`: writes what monitord/model.py says of the reasons into monitord.toml(5), between the two marks there.

With --check it changes nothing, and ends with 1 where the page says anything else.
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


def made() -> str:
    """The table, and which of its rows make a check inconclusive."""
    rows = [f"{_bold(reason.value)}@{_roff(reason.meaning)}" for reason in Reason]
    *ours, last = [reason.value for reason in Reason if reason.is_probe_error]
    inconclusive = [f".BR {code} ," for code in ours] + ["and", f".B {last}"]
    return "\n".join([".TS", "tab(@);", "l l.", *rows, ".TE", ".PP", "The reasons", *inconclusive, ""])


def _bold(text: str) -> str:
    return rf"\fB{text}\fR"


def _roff(text: str) -> str:
    return re.sub(r"`([^`]+)`", lambda match: _bold(match[1]), text.replace("-", r"\-"))


def renewed(page: str) -> str:
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{PAGE}: the marks around the reasons are gone; see {Path(__file__).name}")
    return before + begin + made() + end + after


def main() -> int:
    page = PAGE.read_text()
    if page == renewed(page):
        return 0
    if "--check" in sys.argv[1:]:
        print(f"{PAGE}: its reasons are not those of monitord/model.py; run: make manual", file=sys.stderr)
        return 1
    PAGE.write_text(renewed(page))
    print(f"{PAGE}: renewed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
