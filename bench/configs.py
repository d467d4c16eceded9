"""Configurations of monitord for what is measured."""

from pathlib import Path


def http_config(
    urls: list[str],
    *,
    check_every: str,
    timeout: str,
    at_once: int = 256,
    per_host: int | None = None,
    authority: Path | None = None,
) -> str:
    """A monitor for each URL, named m00000 and so on. `per_host` None: one host gets all places that there are."""
    trust = "" if authority is None else f'\nca_file = "{authority}"'
    return "\n".join(
        [
            f"[limits]\nmax_concurrent_checks = {at_once}\nmax_concurrent_per_host = {per_host or at_once}",
            f'[defaults]\ncheck_every = "{check_every}"\ntimeout = "{timeout}"',
            *(f'[monitors.m{number:05}]\nurl = "{url}"{trust}' for number, url in enumerate(urls)),
        ]
    )
