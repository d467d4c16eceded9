"""Labels of metrics from the tags of monitors.

Prometheus expects the same labels on every series of a family. A tag `key=value` or `key:value` becomes a label of its
own, so that `by (team)` works; monitors without the tag have an empty label, which Prometheus treats as missing. All
other tags are in the label `tags`, as in Consul: `,prod,eu,`, so that `tags=~".*,prod,.*"` matches at any position.
"""

import re
from collections.abc import Mapping, Sequence

LABEL = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)[=:](.+)", re.DOTALL)

RESERVED = frozenset(
    {
        *("monitor", "tags", "type", "title", "description", "severity"),
        *("phase", "state", "verdict", "label", "version", "window", "le", "job", "instance"),
    }
)
"""Names of other labels of monitord and of the scrape: tags of these names stay in `tags`."""


def labels_of(tags_by_monitor: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """Return all labels of each monitor, including its name."""
    split: dict[str, tuple[dict[str, str], list[str]]] = {}
    for name, tags in tags_by_monitor.items():
        from_tags: dict[str, str] = {}
        plain: list[str] = []
        for tag in tags:
            match = LABEL.fullmatch(tag)
            if match is None or match[1] in RESERVED or match[1].startswith("__") or match[1] in from_tags:
                plain.append(tag)
            else:
                from_tags[match[1]] = match[2]
        split[name] = from_tags, plain
    keys = sorted({key for labels, _ in split.values() for key in labels})
    return {
        name: {
            "monitor": name,
            "tags": f",{','.join(plain)}," if plain else "",
            **{key: labels.get(key, "") for key in keys},
        }
        for name, (labels, plain) in split.items()
    }
