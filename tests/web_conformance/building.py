"""Helpers for cases: requests as bytes, checks of responses, and common kinds of cases."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from .harness import Answers, Case, Check, Closing, Outcome, Step
from .reader import Answer
from .rules import RULES

HOST = "Host: origin.test"
SMUGGLED = b"GET /target?smuggled HTTP/1.1\r\nHost: origin.test\r\n\r\n"
DATE_TOLERANCE_S = 60.0

AnswerCheck = Callable[[Answer], str | None]

_IMF_FIXDATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"[0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)


def head(
    method: str, target: str | bytes, *fields: str | bytes, version: str = "1.1", host: bool = True
) -> bytes:
    """Return a head with its empty line; Host is the first field unless the caller sets it."""
    lines = [_octets(method) + b" " + _octets(target) + b" HTTP/" + _octets(version)]
    lines += [_octets(HOST)] if host else []
    lines += map(_octets, fields)
    return b"\r\n".join([*lines, b"", b""])


def get(target: str | bytes = "/plain", *fields: str | bytes, version: str = "1.1") -> bytes:
    return head("GET", target, *fields, version=version)


def post(content: bytes, *fields: str | bytes, target: str = "/echo", version: str = "1.1") -> bytes:
    return head("POST", target, f"Content-Length: {len(content)}", *fields, version=version) + content


def chunked(coded: bytes, *fields: str | bytes, target: str = "/echo", version: str = "1.1") -> bytes:
    """`coded` is the body as sent."""
    return head("POST", target, "Transfer-Encoding: chunked", *fields, version=version) + coded


def _octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


PROBE = get("/target?probe")


# Checks on one answer


def status(*allowed: int) -> AnswerCheck:
    def check(answer: Answer) -> str | None:
        if answer.status in allowed:
            return None
        return f"{answer.status} instead of {' or '.join(map(str, allowed))}"

    return check


def error_status(answer: Answer) -> str | None:
    return None if 400 <= answer.status <= 599 else f"{answer.status} instead of an error"


def no_failure(answer: Answer) -> str | None:
    """Accepted by a server with a higher limit, or rejected as an error of the client."""
    is_allowed = answer.status == 200 or 400 <= answer.status <= 499
    return None if is_allowed else f"{answer.status} instead of 200 or 4xx"


def client_error(answer: Answer) -> str | None:
    return None if 400 <= answer.status <= 499 else f"{answer.status} instead of 4xx"


def body(content: bytes) -> AnswerCheck:
    def check(answer: Answer) -> str | None:
        return (
            None if answer.body == content else f"the content is {answer.body[:80]!r}, not {content[:80]!r}"
        )

    return check


def body_has(content: bytes) -> AnswerCheck:
    def check(answer: Answer) -> str | None:
        return None if content in answer.body else f"the content {answer.body[:120]!r} lacks {content!r}"

    return check


def body_lacks(content: bytes) -> AnswerCheck:
    def check(answer: Answer) -> str | None:
        return f"the content holds {content!r}" if content in answer.body else None

    return check


def has_content(answer: Answer) -> str | None:
    return None if answer.body else "there is no content"


def has(name: str, pattern: str = ".+") -> AnswerCheck:
    def check(answer: Answer) -> str | None:
        value = answer.value(name)
        if value is not None and re.fullmatch(pattern, value):
            return None
        return f"{name} is {answer.values(name)}, not {pattern}"

    return check


def lacks(name: str) -> AnswerCheck:
    def check(answer: Answer) -> str | None:
        return f"{name} is {answer.values(name)}" if answer.values(name) else None

    return check


def names(field: str, *options: str) -> AnswerCheck:
    """The list in the field contains all of these in any case."""

    def check(answer: Answer) -> str | None:
        missing = {option.lower() for option in options} - answer.options(field)
        return f"{field} is {answer.values(field)}, without {', '.join(sorted(missing))}" if missing else None

    return check


def names_not(field: str, option: str) -> AnswerCheck:
    def check(answer: Answer) -> str | None:
        return f"{field} is {answer.values(field)}" if option.lower() in answer.options(field) else None

    return check


def dated(answer: Answer) -> str | None:
    value = answer.value("Date")
    if value is None or _IMF_FIXDATE.fullmatch(value) is None:
        return f"Date is {answer.values('Date')}"
    said = datetime.strptime(value, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    distance_s = abs((datetime.now(UTC) - said).total_seconds())
    return None if distance_s <= DATE_TOLERANCE_S else f"Date is {distance_s:.0f} s away from now"


def imf_fixdate(name: str) -> AnswerCheck:
    return has(name, _IMF_FIXDATE.pattern)


# Checks on an exchange


def all_of(*checks: Check) -> Check:
    def check(outcome: Outcome) -> str | None:
        if outcome.complaint is not None:
            return outcome.complaint
        return next((complaint for each in checks if (complaint := each(outcome)) is not None), None)

    return check


def either(*checks: Check) -> Check:
    def check(outcome: Outcome) -> str | None:
        complaints = [each(outcome) for each in checks]
        if None in complaints:
            return None
        return "; nor: ".join(complaint for complaint in complaints if complaint is not None)

    return check


def count(number: int) -> Check:
    def check(outcome: Outcome) -> str | None:
        found = len(outcome.answers)
        return None if found == number else f"{found} answers instead of {number}"

    return check


def nth(index: int, *checks: AnswerCheck) -> Check:
    def check(outcome: Outcome) -> str | None:
        if len(outcome.answers) <= index:
            return f"there is no answer {index + 1}"
        answer = outcome.answers[index]
        found = (each(answer) for each in checks)
        return next(
            (f"answer {index + 1}: {complaint}" for complaint in found if complaint is not None), None
        )

    return check


def closed(outcome: Outcome) -> str | None:
    return "the connection is left open" if outcome.closing is Closing.OPEN else None


def closed_gracefully(outcome: Outcome) -> str | None:
    return None if outcome.closing is Closing.ENDED else f"the connection is {outcome.closing.value}"


def interim_statuses(*expected: int) -> Check:
    def check(outcome: Outcome) -> str | None:
        found = [answer.status for answer in outcome.interim]
        return None if found == list(expected) else f"interim answers are {found}, not {list(expected)}"

    return check


def happened(*events: str) -> Check:
    """These events occurred in this order, possibly with others in between."""

    def check(outcome: Outcome) -> str | None:
        left = iter(outcome.events)
        if all(event in left for event in events):
            return None
        return f"the order is {' '.join(outcome.events)}, not {' '.join(events)}"

    return check


def nothing_smuggled(outcome: Outcome) -> str | None:
    is_answered = any(b"query=smuggled" in answer.body for answer in outcome.answers)
    return "the bytes of the body were taken for a request" if is_answered else None


def no_success(outcome: Outcome) -> str | None:
    is_taken = any(answer.status < 300 for answer in outcome.answers)
    return "the request was taken for valid" if is_taken else None


def rejected(*allowed: int) -> Check:
    """One response with one of these statuses, and the connection is closed."""
    return all_of(count(1), nth(0, status(*allowed)), closed)


def in_sync(*checks: AnswerCheck) -> Check:
    """The first response passes, and a second request is answered."""
    return all_of(count(2), nth(0, *checks), nth(1, status(200), body_has(b"query=probe")))


def in_sync_or_closed(*checks: AnswerCheck) -> Check:
    return all_of(nothing_smuggled, either(in_sync(*checks), all_of(count(1), nth(0, *checks), closed)))


# Common kinds of cases


def case(
    name: str,
    key: str,
    script: Sequence[Step],
    check: Check,
    *,
    answers: int = 1,
    closes: bool = False,
    methods: tuple[str, ...] = (),
    is_hasty: bool = False,
) -> Case:
    return Case(
        name,
        RULES[key],
        tuple(script),
        check,
        answers=answers,
        closes=closes,
        methods=methods,
        is_hasty=is_hasty,
    )


def accepts(name: str, key: str, request: bytes, *checks: AnswerCheck, methods: tuple[str, ...] = ()) -> Case:
    """The request is answered with 200, and the connection remains usable."""
    return case(
        name, key, [request, Answers(1), PROBE], in_sync(status(200), *checks), answers=2, methods=methods
    )


def rejects(name: str, key: str, request: bytes, *allowed: int) -> Case:
    """The request is answered with 400 or one of the given statuses, and the connection is closed."""
    return case(name, key, [request], rejected(*(allowed or (400,))), closes=True)


def answers_with(
    name: str, key: str, request: bytes, *checks: AnswerCheck, methods: tuple[str, ...] = ()
) -> Case:
    """One response that passes the checks, in any state of the connection."""
    return case(name, key, [request], all_of(nth(0, *checks)), methods=methods)


def rejects_or_responds(name: str, key: str, request: bytes, *checks: AnswerCheck) -> Case:
    """Either rejected with 400 and closed, or answered with 200 and a response that passes."""
    return case(
        name,
        key,
        [request, Answers(1), PROBE],
        all_of(nothing_smuggled, either(rejected(400), in_sync(status(200), *checks))),
        answers=2,
    )
