"""The selection of monitors in a section of the configuration, by the keys `monitors` and `tags`."""

from collections.abc import Collection
from fnmatch import fnmatchcase

from monitord.automatic_names import full_monitor_name, is_for_automatic_monitors
from monitord.config import Table, value_text
from monitord.text import did_you_mean


def read_selection(
    table: Table, names: Collection[str], known_tags: Collection[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names and patterns of `monitors`, and `tags`; empty if a key is missing.

    `names` and `known_tags`: of all monitors; None: not all tags are known. A value that selects no monitor
    is an error.
    """
    monitors = table.one_or_more("monitors", full_monitor_name, default=())
    for pattern in monitors:
        if not is_for_automatic_monitors(pattern) and not any(fnmatchcase(each, pattern) for each in names):
            hint = did_you_mean(pattern, names) or "write the name of a monitor, or a pattern"
            table.error("monitors", f"{value_text(pattern)} matches no monitor", hint)
    tags = table.one_or_more("tags", str, default=())
    for tag in tags:
        if known_tags is not None and tag not in known_tags:
            hint = did_you_mean(tag, known_tags) or "write a tag that a monitor has"
            table.error("tags", f"no monitor has the tag {value_text(tag)}", hint)
    return monitors, tags
