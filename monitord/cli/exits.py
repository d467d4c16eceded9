"""What the exit statuses of monitorctl mean, in one place: docs/man/monitorctl.1 has the same list."""

from collections.abc import Iterable

EXIT_OK = 0
EXIT_FAILED = 1
"""Refused or failed; something is degraded."""

EXIT_DOWN = 2
EXIT_NO_DAEMON = 3
EXIT_USAGE = 64
"""EX_USAGE of sysexits.h."""

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

_OF_HEALTH = {"up": EXIT_OK, "paused": EXIT_OK, "pending": EXIT_OK, "degraded": EXIT_FAILED}
_OF_VERDICT = {"pass": EXIT_OK, "warn": EXIT_FAILED, "fail": EXIT_DOWN, "inconclusive": EXIT_FAILED}


def exit_of_health(health: str) -> int:
    """A state that this release does not know counts as down: better one look too many."""
    return _OF_HEALTH.get(health, EXIT_DOWN)


def worst_exit(statuses: Iterable[int]) -> int:
    """That of several results: down before degraded before all well."""
    return max(statuses, default=EXIT_OK)


def exit_of_verdict(verdict: str) -> int:
    return _OF_VERDICT.get(verdict, EXIT_DOWN)
