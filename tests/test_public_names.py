"""The list of public names agrees with the code, so that nobody changes one without noticing."""

import pytest

from tests.public_names import public_names, read_public_names


async def test_list_of_public_names_is_up_to_date() -> None:
    listed, found = set(read_public_names()), set(await public_names())
    assert sorted(found - listed) == [], "new public names: `make manual` adds them"
    assert sorted(listed - found) == [], "public names are gone; before 1.0 `make manual` removes them"


@pytest.mark.parametrize(
    "name",
    [
        "configuration monitors.NAME.up_when",
        "configuration monitors.NAME.renamed_from",
        "configuration monitors.NAME.severity = critical",
        "configuration monitors.NAME (steps) steps.extract.NAME.json",
        "configuration monitors.NAME (http) basic_auth.username",
        "configuration monitors.NAME (tcp) dialogue.send",
        "configuration status.tokens.NAME.rights",
        "configuration status.tokens.NAME.rights = acknowledge",
        "configuration auto.override.NAME",
        "configuration discover.monitor",
        "command monitord --check-config",
        "command monitorctl silence --for",
        "journal field MONITOR_VERDICT",
        "journal field MONITOR_STEP",
        "journal field HTTP_STATUS",
        "journal field PHASE_*_USEC",
        "journal field FIELDS_REJECTED",
        "notification acknowledge_url",
        "monitor type http",
        "notifier type webhook",
        "discovery type file",
        "deviation bare_lf",
        "event transition.reason",
        "event incident.change = closed",
        "event gap.after",
        "api Explanation.cause.kind = parents_down",
        "api NewHeartbeat.signal = start",
    ],
)
def test_each_kind_of_name_is_listed(name: str) -> None:
    """A collector that no longer finds a kind of name would remove its lines with the next `make manual`."""
    assert name in read_public_names()


def test_options_of_a_type_are_not_listed_for_all_monitors() -> None:
    names = read_public_names()
    assert "configuration monitors.NAME (reboot) grace" in names
    assert "configuration monitors.NAME.grace" not in names
    assert "configuration discover.files" not in names
