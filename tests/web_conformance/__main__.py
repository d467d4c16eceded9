"""Run the cases against a server that serves the origin: python -m web_conformance PORT|PATH [HASTY] [--only TEXT].

Prints a line for each unmet case. The exit status is 1 if a MUST is unmet.
"""

import argparse
import asyncio
import sys

from .harness import Address, play_all
from .rules import Level
from .table import CASES


def _address(text: str) -> Address:
    return Address(port=int(text)) if text.isdecimal() else Address(path=text)


def main() -> int:
    parser = argparse.ArgumentParser(prog="web_conformance", description=__doc__)
    parser.add_argument("address", type=_address, help="port on 127.0.0.1, or path of a Unix socket")
    parser.add_argument("hasty", type=_address, nargs="?", help="the same origin with short deadlines")
    parser.add_argument("--only", default="", help="cases whose ID or rule contains this text")
    options = parser.parse_args()
    chosen = [case for case in CASES if options.only in case.id or options.only == case.rule.key]
    findings = asyncio.run(play_all(chosen, options.address, options.hasty))
    unmet = [finding for finding in findings if finding.complaint is not None]
    for finding in unmet:
        case = finding.case
        print(f"{case.level.value:6} {case.section:14} {case.id}: {finding.complaint}")  # noqa: T201
    for level in Level:
        of_level = [finding for finding in findings if finding.case.level is level]
        failed = sum(finding.complaint is not None for finding in of_level)
        print(f"{level.value}: {len(of_level)} cases, {failed} not met")  # noqa: T201
    return 1 if any(finding.case.level is Level.MUST for finding in unmet) else 0


if __name__ == "__main__":
    sys.exit(main())
