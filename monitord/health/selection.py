"""The names, patterns and tags by which a section of the configuration selects monitors.

Errors are recorded in its table.
"""

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from monitord.automatic_names import full_monitor_name, is_for_automatic_monitors
from monitord.config import Table, value_text
from monitord.text import did_you_mean


def read_selection(
    table: Table, names: Collection[str], known_tags: Collection[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names and patterns of `monitors`, and `tags`; empty if a key is missing.

    `names` and `known_tags`: see `check_selection` and `check_tags`.
    """
    monitors = table.one_or_more("monitors", full_monitor_name, default=())
    check_selection(table, "monitors", monitors, names)
    tags = table.one_or_more("tags", str, default=())
    check_tags(table, "tags", tags, known_tags)
    return monitors, tags


def check_selection(table: Table, key: str, patterns: Iterable[str], names: Collection[str]) -> None:
    """Record names and patterns that match none of `names`, those of all monitors.

    Automatic monitors may not exist yet.
    """
    for pattern in patterns:
        if not is_for_automatic_monitors(pattern) and not any(fnmatchcase(name, pattern) for name in names):
            hint = (
                did_you_mean(pattern, names, show=value_text) or "write the name of a monitor, or a pattern"
            )
            table.error(key, f"{value_text(pattern)} matches no monitor", hint)


def check_tags(table: Table, key: str, tags: Iterable[str], known: Collection[str] | None) -> None:
    """Record tags that no monitor has. `known`: of all monitors; None: not all tags are known."""
    for tag in tags:
        if known is not None and tag not in known:
            hint = did_you_mean(tag, known, show=value_text) or "write a tag that a monitor has"
            table.error(key, f"no monitor has the tag {value_text(tag)}", hint)
