"""All cases, and the reasons for unmet SHOULD requirements."""

from collections import Counter

from . import cases_conditional, cases_connection, cases_framing, cases_semantics, cases_syntax
from .harness import Case

CASES: tuple[Case, ...] = (
    *cases_syntax.CASES,
    *cases_framing.CASES,
    *cases_connection.CASES,
    *cases_semantics.CASES,
    *cases_conditional.CASES,
)

UNMET: dict[str, str] = {}

_repeated = [name for name, times in Counter(case.id for case in CASES).items() if times > 1]
if _repeated:
    raise ValueError(f"repeated case IDs: {', '.join(_repeated)}")
