"""The table of cases is valid and its page is up to date."""

import re

from .document import PATH, render
from .rules import RULES, Level
from .table import CASES, UNMET


def test_each_rule_has_cases_or_a_reason() -> None:
    played = {case.rule.key for case in CASES}
    assert [key for key, rule in RULES.items() if (key in played) == bool(rule.note)] == []


def test_only_a_should_may_be_unmet_with_a_reason() -> None:
    levels = {case.id: case.level for case in CASES}
    assert {levels[name] for name in UNMET} <= {Level.SHOULD}
    assert all(UNMET.values())


def test_ids_and_sections_are_well_formed() -> None:
    assert [case.id for case in CASES if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", case.id)] == []
    assert [rule.key for rule in RULES.values() if not re.fullmatch(r"91(10|12) [0-9.]+", rule.section)] == []


def test_page_is_generated_from_the_table() -> None:
    assert PATH.read_text() == render()
