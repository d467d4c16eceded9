"""References between monitors: each error with its complete message."""

from pathlib import Path

import pytest

from monitord.errors import ConfigError
from monitord.settings import Settings, read_settings

MONITORS = '[monitors.web]\nurl = "http://a/"\n[monitors.gateway]\ntype = "tcp"\naddress = "a:1"\n'


def read(tmp_path: Path, text: str) -> Settings:
    config = tmp_path / "monitord.toml"
    config.write_text(text)
    return read_settings(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            '[monitors.web]\nurl = "http://a/"\ndepends_on = ["gatway"]\n[monitors.gateway]\nurl = "http://b/"\n',
            'monitord.toml:3: monitors.web.depends_on: "gatway" is not a monitor; write "gateway"',
            id="misspelt",
        ),
        pytest.param(
            '[monitors.web]\nurl = "http://a/"\ndepends_on_any = ["web"]\n',
            'monitord.toml:3: monitors.web.depends_on_any: "web" is the monitor itself; remove it',
            id="itself",
        ),
        pytest.param(
            '[monitors.a]\nurl = "http://a/"\ndepends_on = ["b"]\n'
            '[monitors.b]\nurl = "http://b/"\ndepends_on_any = ["c"]\n'
            '[monitors.c]\nurl = "http://c/"\ndepends_on = ["a"]\n',
            "monitord.toml:3: monitors.a.depends_on: depends on itself: a -> b -> c -> a; remove a reference",
            id="loop",
        ),
        pytest.param(
            '[network]\ncanaries = ["gatewy"]\n' + MONITORS,
            'monitord.toml:2: network.canaries: "gatewy" is not a monitor; write "gateway"',
            id="canaries unknown",
        ),
        pytest.param(
            "[network]\nisolation_threshold = 1.5\n" + MONITORS,
            "monitord.toml:2: network.isolation_threshold: 1.5 is too large; write at most 1",
            id="more than all",
        ),
    ],
)
def test_error_shows_its_place_and_a_hint(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert str(caught.value) == f"{tmp_path}/{message}"


def test_parent_with_an_invalid_table_is_not_reported_as_unknown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, '[monitors.a]\nurl = "http://a/"\ndepends_on = ["b"]\n[monitors.b]\ntype = "htp"\n')
    assert [failure.key for failure in caught.value.diagnostics] == ["monitors.b.type"]


def test_parent_in_the_defaults_is_not_its_own_parent(tmp_path: Path) -> None:
    settings = read(tmp_path, '[defaults]\ndepends_on = ["gateway"]\n' + MONITORS)
    assert {monitor.name: monitor.depends_on for monitor in settings.monitors} == {
        "web": ("gateway",),
        "gateway": (),
    }


def test_network_and_flapping_are_read(tmp_path: Path) -> None:
    text = (
        '[network]\nisolation_threshold = 0.5\ncanaries = ["gateway"]\n[defaults]\nflapping = false\n'
        + MONITORS
    )
    settings = read(tmp_path, text)
    assert (settings.network.isolation_threshold, settings.network.canaries) == (0.5, ("gateway",))
    assert not any(monitor.policy.detects_flapping for monitor in settings.monitors)
