"""The selection of monitors in a section of the configuration, by the keys `monitors` and `tags`."""

from collections.abc import Collection

from monitord.automatic_names import full_monitor_name
from monitord.config import Table
from monitord.monitors import check_selection, check_tags


def read_selection(
    table: Table, names: Collection[str], known_tags: Collection[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names and patterns of `monitors`, and `tags`; empty if a key is missing.

    `names` and `known_tags`: of all monitors; None: not all tags are known. A value that selects no monitor
    is an error.
    """
    monitors = table.one_or_more("monitors", full_monitor_name, default=())
    check_selection(table, "monitors", monitors, names)
    tags = table.one_or_more("tags", str, default=())
    check_tags(table, "tags", tags, known_tags)
    return monitors, tags
