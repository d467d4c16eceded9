"""All cases, and for each SHOULD that monitord.web does not meet the reason why."""

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

UNMET: dict[str, str] = {
    "answer-readable-after-close": (
        "the client has said that this request is its last; to wait for what it might send all the same would hold "
        "a socket for each client that does as it said"
    ),
}

_repeated = [name for name, times in Counter(case.id for case in CASES).items() if times > 1]
if _repeated:
    raise ValueError(f"two cases share an id: {', '.join(_repeated)}")
