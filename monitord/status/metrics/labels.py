"""From tags to the labels of metrics, as Prometheus wants them: every series of a family has the same labels.

A tag `key=value` or `key:value` is a label of its own, so that `by (team)` works; a monitor without it has it empty,
which to Prometheus is the same as not having it. All other tags are in the label `tags`, as Consul's are: `,prod,eu,`,
so that `tags=~".*,prod,.*"` finds one wherever it stands.
"""

import re
from collections.abc import Mapping, Sequence

LABEL = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)[=:](.+)", re.DOTALL)

RESERVED = frozenset(
    {"monitor", "tags", "type", "phase", "state", "verdict", "label", "version", "le", "job", "instance"}
)
"""Labels of ours and of the scrape: a tag by such a name stays a tag."""


def labels_of(tags_by_monitor: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """For each monitor all labels, with its name."""
    split = {name: _split(tags) for name, tags in tags_by_monitor.items()}
    keys = sorted({key for own, _ in split.values() for key in own})
    return {
        name: {
            "monitor": name,
            "tags": f",{','.join(plain)}," if plain else "",
            **{key: own.get(key, "") for key in keys},
        }
        for name, (own, plain) in split.items()
    }


def _split(tags: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    own: dict[str, str] = {}
    plain: list[str] = []
    for tag in tags:
        match = LABEL.fullmatch(tag)
        if match is None or match[1] in RESERVED or match[1].startswith("__") or match[1] in own:
            plain.append(tag)
        else:
            own[match[1]] = match[2]
    return own, plain
