"""[[discover]] in the configuration."""

from pathlib import Path

import pytest

from monitord.errors import ConfigError
from monitord.settings import Settings, read_settings
from monitord.sources.discovery import DiscoverySettings
from monitord.sources.discovery.containers import ContainerDiscoveryOptions
from monitord.sources.discovery.targets import TargetRules

START = '[[discover]]\ntype = "file"\nname = "nodes"\nfiles = "/a/*.json"\n'
MONITOR = '[discover.monitor]\nurl = "http://{address}/"\n'


def settings_of(tmp_path: Path, text: str) -> Settings:
    config = tmp_path / "monitord.toml"
    config.write_text(text)
    return read_settings(config, environment={})


def discovery_of(tmp_path: Path, text: str) -> DiscoverySettings:
    (source,) = settings_of(tmp_path, text).sources.sources
    assert isinstance(source, DiscoverySettings)
    return source


def test_every_key_is_read(tmp_path: Path) -> None:
    text = """
        [[discover]]
        name = "nodes:{labels.instance}"
        type = "file"
        files = ["/a/*.json", "/b.json"]
        keep = { env = "prod" }
        drop = { job = "x*" }
        refresh_every = "1m"
        timeout = "3s"
        remove_after = "10m"
        max_targets = 7
        [discover.monitor]
        url = "http://{address}/"
        tags = ["env:{labels.env}"]
    """
    source = discovery_of(tmp_path, text)
    assert (source.name, source.type_name) == ("nodes", "file")
    assert source.rules == TargetRules("{labels.instance}", (("env", "prod"),), (("job", "x*"),))
    assert source.options.files == ("/a/*.json", "/b.json")
    assert (source.refresh_every_s, source.timeout_s, source.remove_after_s) == (60.0, 3.0, 600.0)
    assert source.max_targets == 7
    assert source.template == {"url": "http://{address}/", "tags": ["env:{labels.env}"]}
    assert source.tags is None


def test_keys_of_containers_are_read(tmp_path: Path) -> None:
    text = '[[discover]]\ntype = "containers"\nname = "app"\n'
    source = discovery_of(tmp_path, text + MONITOR)
    assert source.rules == TargetRules("{__meta_container_name}")
    assert source.options == ContainerDiscoveryOptions("/run/docker.sock", "monitord.")
    assert (source.refresh_every_s, source.remove_after_s) == (60.0, 30.0)
    text += 'socket = "/run/podman/podman.sock"\nlabel_prefix = "org.example."\n'
    assert discovery_of(tmp_path, text + MONITOR).options == ContainerDiscoveryOptions(
        "/run/podman/podman.sock", "org.example."
    )


def test_smallest_configuration_has_the_defaults(tmp_path: Path) -> None:
    source = discovery_of(tmp_path, START + MONITOR)
    assert source.rules == TargetRules("{address}")
    assert (source.refresh_every_s, source.remove_after_s, source.max_targets) == (5.0, 0.0, 10_000)
    assert source.tags == frozenset()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (START, "discover[0]: has no monitor"),
        (START.replace('name = "nodes"\n', "") + MONITOR, "discover[0].name: missing"),
        (START.replace("nodes", "unit") + MONITOR, 'discover[0].name: "unit" is the name of another source'),
        (START.replace("nodes", "nodes:web") + MONITOR, "is the same for each target"),
        (START.replace("nodes", "a b") + MONITOR, 'discover[0].name: "a b" is not a name'),
        (START.replace("nodes", "nodes:{adress}") + MONITOR, "has the unknown placeholder {adress}"),
        (START.replace('"/a/*.json"', '"a.json"') + MONITOR, '"a.json" is not an absolute path'),
        (START.replace("*.json", "*.txt") + MONITOR, "has no known suffix"),
        (START + "x = 1\n" + MONITOR, "discover[0].x: unknown key"),
        (START + MONITOR + "urll = 1\n", 'discover[0].monitor.urll: unknown key; did you mean "url"?'),
        (START + MONITOR + 'check_every = "x"\n', "monitord.toml:7: discover[0].monitor.check_every:"),
        (START + MONITOR + 'method = "{host"\n', "discover[0].monitor.method:"),
        (
            START + MONITOR + 'proxy = "{hst}"\n',
            "discover[0].monitor.proxy: has the unknown placeholder {hst}",
        ),
        (START + MONITOR + 'depends_on = ["router"]\n', 'depends_on: "router" is not a monitor'),
        (START + '[discover.monitor]\ntype = "group"\nmembers = ["x"]\n', "a group cannot be automatic"),
        (START + MONITOR + 'renamed_from = "x"\n', "renamed_from: cannot be used"),
        (
            START + '[discover.monitor]\ncommand = ["{host}"]\n',
            "has a placeholder in the name of the program",
        ),
        (START + MONITOR + START + MONITOR, 'discover[1].name: "nodes" is also the name of another'),
        ('[[discover]]\ntype = "http"\nname = "x"\n' + MONITOR, "discover[0].url: missing"),
        ('[[discover]]\ntype = "dns"\nname = "x"\n' + MONITOR, "discover[0]: has no names"),
        (
            '[[discover]]\ntype = "dns"\nname = "x"\nnames = "a"\nrecord_type = "A"\n' + MONITOR,
            "discover[0]: has no port",
        ),
        (
            '[[discover]]\ntype = "containers"\nname = "x"\nlabel_prefix = " "\n' + MONITOR,
            "discover[0].label_prefix:",
        ),
        (
            '[[discover]]\ntype = "containers"\nname = "x"\nsocket = "docker.sock"\n' + MONITOR,
            "discover[0].socket:",
        ),
        ('[[discover]]\ntype = "x"\nname = "x"\n' + MONITOR, 'discover[0].type: "x"'),
        (START + 'keep = "x"\n' + MONITOR, "discover[0].keep:"),
        (START + MONITOR + '[auto.override."nodes:*"]\nchek_every = "1m"\n', "chek_every: unknown key"),
    ],
)
def test_errors_name_the_key(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        settings_of(tmp_path, text)
    assert error in str(raised.value)


def test_values_of_labels_are_checked_for_each_target_only(tmp_path: Path) -> None:
    text = START + MONITOR + 'check_every = "{labels.every}"\nup_when = ["status == {labels.status}"]\n'
    assert discovery_of(tmp_path, text).template["check_every"] == "{labels.every}"


def test_secrets_of_the_template_are_not_checked_by_other_users(tmp_path: Path) -> None:
    text = START + MONITOR + 'bearer_token = { env = "NOT_SET" }\n'
    with pytest.raises(ConfigError, match="NOT_SET"):
        settings_of(tmp_path, text)


def test_tags_of_templates_are_known_to_routes(tmp_path: Path) -> None:
    route = '[notifiers.ops]\nurl = "https://ops.example.org/"\n[[alerts.routes]]\nnotify = "ops"\ntags = ["web"]\n'
    assert settings_of(tmp_path, START + MONITOR + 'tags = ["web"]\n' + route).alerts.routes
    assert settings_of(tmp_path, START + MONITOR + 'tags = ["{labels.x}"]\n' + route).alerts.routes
    with pytest.raises(ConfigError, match="no monitor has the tag"):
        settings_of(tmp_path, START + MONITOR + 'tags = ["db"]\n' + route)
