"""Configurations of monitord."""

from pathlib import Path


def http_config(
    urls: list[str],
    *,
    check_every: str,
    timeout: str,
    max_concurrent: int = 256,
    per_host: int | None = None,
    authority: Path | None = None,
) -> str:
    """A monitor for each URL, named m00000 and so on. `per_host` None: one host can use all slots."""
    trust = "" if authority is None else f'\nca_file = "{authority}"'
    return "\n".join(
        [
            "[limits]",
            f"max_concurrent_checks = {max_concurrent}",
            f"max_concurrent_per_host = {per_host or max_concurrent}",
            f'[defaults]\ncheck_every = "{check_every}"\ntimeout = "{timeout}"',
            *(f'[monitors.m{number:05}]\nurl = "{url}"{trust}' for number, url in enumerate(urls)),
        ]
    )
