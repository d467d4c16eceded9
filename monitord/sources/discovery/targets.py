"""Targets as in the service discovery of Prometheus: `[{"targets": ["10.0.0.1:80"], "labels": {"env": "prod"}}]`.

The format is that of files (file_sd) and of HTTP (http_sd). Input comes from others and is limited; a target that
cannot be used is kept with its problem, so that it is reported, and the others apply.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from monitord.errors import InvalidValueError
from monitord.net.base.addressing import parse_host
from monitord.sources.base import Targets
from monitord.sources.discovery.template import LABEL_PREFIX, META_PREFIX, Values, rendered

MAX_INPUT_BYTES = 16 * 1024 * 1024
"""The limit of one file, and of one response."""

MAX_TARGETS = 100_000
"""Further targets of one input are an error: `max_targets` selects far fewer."""

MAX_ADDRESS_CHARACTERS = 2048
MAX_LABELS = 64
MAX_LABEL_CHARACTERS = 4096
MAX_DUPLICATES = 100
"""Reported targets with the name of another target."""

ADDRESS = "__address__"

_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]/]*)(?::([0-9]{1,5}))?")
_UNUSABLE_IN_NAMES = re.compile(r"[\s*?\"']|[^\S\n]")
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class TargetRules:
    """Rules for the names and the selection of targets. `keep` and `drop`: patterns of labels."""

    name: str
    keep: tuple[tuple[str, str], ...] = ()
    drop: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class DiscoveredTarget:
    """One target of the input. `problem`: why it cannot be used."""

    address: str
    labels: Mapping[str, str]
    problem: str = ""


def parse_groups(text: str, pause: Callable[[], None] = lambda: None) -> Iterator[DiscoveredTarget]:
    """Read the groups of targets. Raises InvalidValueError if the text is not a list of them.

    The groups are decoded one by one, because the decoder holds the interpreter's lock until it returns.
    """
    decoder = json.JSONDecoder()
    place = _skip(text, 0)
    if text[place : place + 1] != "[":
        raise InvalidValueError(
            "is not a JSON list of groups of targets", 'write [{"targets": ["HOST:PORT"]}]'
        )
    place = _skip(text, place + 1)
    count = 0
    if text[place : place + 1] == "]":
        place += 1
    else:
        while True:
            try:
                group, place = decoder.raw_decode(text, place)
            except (ValueError, RecursionError) as error:
                line = text.count("\n", 0, getattr(error, "pos", place)) + 1
                raise InvalidValueError(f"is not valid JSON (line {line})") from None
            for target in targets_of_group(group):
                count += 1
                if count > MAX_TARGETS:
                    raise InvalidValueError(f"has more than {MAX_TARGETS} targets", "divide it")
                pause()
                yield target
            place = _skip(text, place)
            follows = text[place : place + 1]
            place += 1
            if follows == "]":
                break
            if follows != ",":
                raise InvalidValueError("is not valid JSON: the list does not end")
            place = _skip(text, place)
    if _skip(text, place) != len(text):
        raise InvalidValueError("is not valid JSON: there is text after the list")


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return place if match is None else match.end()


def targets_of_group(group: object) -> Iterator[DiscoveredTarget]:
    """The targets of one group. Raises InvalidValueError if it is not a group."""
    if not isinstance(group, dict) or not isinstance(addresses := group.get("targets"), list):
        raise InvalidValueError(
            "contains an element that is not a group of targets", 'write {"targets": ["HOST:PORT"]}'
        )
    labels = group.get("labels")
    problem = _problem_of_labels(labels)
    usable = {} if problem or labels is None else {str(name): str(value) for name, value in labels.items()}
    for address in addresses:
        if not isinstance(address, str):
            raise InvalidValueError("contains a target that is not text", 'write "HOST:PORT" in quotes')
        if len(address) > MAX_ADDRESS_CHARACTERS:
            too_long = f"its address has more than {MAX_ADDRESS_CHARACTERS} characters"
            yield DiscoveredTarget(address[:100], {}, too_long)
        else:
            yield DiscoveredTarget(address, usable, problem)


def _problem_of_labels(labels: object) -> str:
    if labels is None:
        return ""
    if not isinstance(labels, dict) or len(labels) > MAX_LABELS:
        return f"its labels are not an object with at most {MAX_LABELS} labels"
    for name, value in labels.items():
        if not isinstance(name, str) or not _LABEL_NAME.fullmatch(name):
            return "the name of a label is invalid"
        if not isinstance(value, (str, int, float)):
            return f"its label {name} is not text"
        if isinstance(value, str) and len(value) > MAX_LABEL_CHARACTERS:
            return f"its label {name} has more than {MAX_LABEL_CHARACTERS} characters"
    return ""


def values_of(address: str, labels: Mapping[str, str]) -> Values:
    """The texts for the placeholders of a target."""
    values = {"address": address}
    match = _HOST_AND_PORT.fullmatch(address)
    if match is not None and match[1]:
        try:
            host = parse_host(match[1])
        except ValueError:
            pass
        else:
            values["host"] = host
            if match[2] is not None:
                values["port"] = match[2]
    for name, value in labels.items():
        values[f"{LABEL_PREFIX}{name}"] = value
        if name.startswith(META_PREFIX):
            values[name] = value
    values.setdefault(f"{LABEL_PREFIX}{ADDRESS}", address)
    values.setdefault(ADDRESS, address)
    return values


def named_targets(
    discovered: Iterable[DiscoveredTarget], rules: TargetRules, pause: Callable[[], None] = lambda: None
) -> Targets:
    """The selected targets by name. A target that cannot be used has its problem as its data."""
    targets: dict[str, Mapping[str, Any]] = {}
    problems: dict[str, str] = {}
    duplicates = 0
    for target in discovered:
        pause()
        if target.problem:
            problems[target.address] = target.problem
            continue
        if not is_selected(target, rules):
            continue
        data = {"address": target.address, "labels": dict(target.labels)}
        try:
            name = usable_name(rendered(rules.name, values_of(target.address, target.labels)))
        except InvalidValueError as error:
            problems[target.address] = f"name: {error}"
            continue
        present = targets.setdefault(name, data)
        if present is not data and present != data and duplicates < MAX_DUPLICATES:
            duplicates += 1
            targets[f"{name}#{duplicates + 1}"] = {
                "problem": "another target has the same name; make name different for each target"
            }
    for address, problem in problems.items():
        targets[f"{address}#" if address in targets else address] = {"problem": problem}
    return targets


def is_selected(target: DiscoveredTarget, rules: TargetRules) -> bool:
    def matches(rule: tuple[str, str]) -> bool:
        label, pattern = rule
        return fnmatchcase(target.address if label == ADDRESS else target.labels.get(label, ""), pattern)

    return all(map(matches, rules.keep)) and not any(map(matches, rules.drop))


def usable_name(text: str) -> str:
    """Return the text with "_" for each character that names of monitors cannot have, and without brackets."""
    return _UNUSABLE_IN_NAMES.sub("_", text.replace("[", "").replace("]", ""))
