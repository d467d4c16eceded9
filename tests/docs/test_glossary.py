"""The glossary lists the values that the program has."""

import re
from collections.abc import Iterable
from enum import Enum

import pytest

from monitord.alerts.outbox import DeliveryStatus
from monitord.model import State, Verdict
from monitord.notifiers.notification import NotificationKind
from tests.docs.pages import ROOT

TEXT = (ROOT / "docs" / "glossary.md").read_text()


@pytest.mark.parametrize(
    ("term", "values"),
    [("state", State), ("verdict", Verdict), ("delivery status", DeliveryStatus), ("kind", NotificationKind)],
    ids=["state", "verdict", "delivery status", "kind"],
)
def test_values_of_a_term_are_those_of_the_program(term: str, values: Iterable[Enum]) -> None:
    (row,) = re.findall(rf"^\| \*\*{term}\*\*[^|]*\|(.+)\|$", TEXT, re.MULTILINE)
    assert set(re.findall("`([a-z_]+)`", row)) == {str(member.value) for member in values}
