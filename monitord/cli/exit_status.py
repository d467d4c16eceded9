"""The exit statuses of monitorctl; monitorctl(1) has the same list."""

from collections.abc import Iterable

EXIT_OK = 0
EXIT_FAILED = 1
"""A request was rejected or has failed, or a monitor is degraded."""

EXIT_DOWN = 2
EXIT_PARTIAL = 2
"""import: some items of the source were not translated."""

EXIT_DIFFERENT = 2
"""what-if: alerts, incidents or notifications would have differed."""

EXIT_NO_DAEMON = 3
EXIT_USAGE = 64
"""EX_USAGE of sysexits.h."""

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

_STATUS_BY_STATE = {"up": EXIT_OK, "paused": EXIT_OK, "pending": EXIT_OK, "degraded": EXIT_FAILED}
_STATUS_BY_VERDICT = {"pass": EXIT_OK, "warn": EXIT_FAILED, "fail": EXIT_DOWN, "inconclusive": EXIT_FAILED}


def exit_of_state(state: str) -> int:
    # A newer daemon may have more states. They count as down: a false alarm is better than a missed one.
    return _STATUS_BY_STATE.get(state, EXIT_DOWN)


def exit_of_verdict(verdict: str) -> int:
    return _STATUS_BY_VERDICT.get(verdict, EXIT_DOWN)


def worst_exit(statuses: Iterable[int]) -> int:
    return max(statuses, default=EXIT_OK)
