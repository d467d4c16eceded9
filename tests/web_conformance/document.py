"""Write docs/web-conformance.md from the rules and cases: python -m web_conformance.document."""

from collections import defaultdict
from pathlib import Path

from .rules import RULES, Level, Rule
from .table import CASES, UNMET

PATH = Path(__file__).parents[2] / "docs" / "web-conformance.md"

_HEAD = """\
# HTTP conformance of monitord.web

This page lists the requirements of RFC 9110 and RFC 9112 for an origin server without TLS, in shortened form, with the
test cases for each. Requirements for clients, proxies and caches are not listed.

| level | requirements | cases |
|---|---|---|
| MUST | {must_rules} | {must_cases} |
| SHOULD, or left open by the RFC | {should_rules} | {should_cases} |

Each case sends a sequence of bytes over a socket and checks the response. The tests run all cases against
`monitord.web`, over TCP and over a Unix socket. Any other server can be tested as well, if it serves the resources of
`tests/web_conformance/origin.py`:

    cd tests && /usr/bin/python3 -m web_conformance PORT

The page is generated from the rules and cases in `tests/web_conformance/`, and a test fails if it is out of date. To
generate it:

    cd tests && /usr/bin/python3 -m web_conformance.document
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
    lines += ["## Unmet SHOULD requirements", ""]
    lines += [f"- `{name}`: {reason}." for name, reason in UNMET.items()] or ["None."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PATH.write_text(render())
