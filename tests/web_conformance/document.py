"""Writes docs/web-conformance.md from the table of rules and cases: python -m web_conformance.document."""

from collections import defaultdict
from pathlib import Path

from .rules import RULES, Level, Rule
from .table import CASES, UNMET

PATH = Path(__file__).parents[2] / "docs" / "web-conformance.md"

_HEAD = """\
# What monitord.web keeps of RFC 9110 and RFC 9112

This page is made from the table of cases in `tests/web_conformance/` (`cd tests && /usr/bin/python3 -m
web_conformance.document`), and a test fails when it is not up to date. Each case is a script of bytes over a raw
socket and a check on what comes back; all of them are played against `monitord.web` over TCP and over a Unix socket.

Listed is what binds an origin server without TLS; what is said to clients, proxies and caches is not. The texts
are shortened; the section holds the full one. {must_rules} rules are MUST, with {must_cases} cases. {should_rules} are
SHOULD, or a choice that the RFC leaves open, with {should_cases} cases.

To play them against any server that serves the origin of `tests/web_conformance/origin.py`:

    cd tests && /usr/bin/python3 -m web_conformance PORT
"""


def _row(rule: Rule, names: list[str]) -> str:
    cases = ", ".join(f"`{name}`" for name in names) or f"none: {rule.note}"
    return f"| {rule.section} | {rule.text} | {cases} |".replace("\n", " ")


def render() -> str:
    cases: defaultdict[str, list[str]] = defaultdict(list)
    for case in CASES:
        cases[case.rule.key].append(case.id)
    rules = {level: [rule for rule in RULES.values() if rule.level is level] for level in Level}
    numbers = {level: sum(case.level is level for case in CASES) for level in Level}
    lines = [
        _HEAD.format(
            must_rules=len(rules[Level.MUST]),
            must_cases=numbers[Level.MUST],
            should_rules=len(rules[Level.SHOULD]),
            should_cases=numbers[Level.SHOULD],
        )
    ]
    for level in Level:
        lines += [f"## {level.value}", "", "| RFC | requirement | cases |", "|---|---|---|"]
        lines += [_row(rule, cases[rule.key]) for rule in rules[level]]
        lines.append("")
    lines += ["## Each SHOULD that is not met, and why", ""]
    lines += [f"- `{name}`: {reason}." for name, reason in UNMET.items()] or ["None."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PATH.write_text(render())
