"""Counters of restarts, as systemd and container engines keep them for each unit or container. Pure."""


def restarts_since(previous: int | None, restarts: int, *, is_same_run: bool) -> int:
    """Return the number of restarts since the counter was `previous`; 0 if that is not known (None).

    A smaller counter was reset by a manual start: it counts only if the current run is another than the previous.
    """
    if previous is None:
        return 0
    if restarts >= previous:
        return restarts - previous
    return 0 if is_same_run else restarts
