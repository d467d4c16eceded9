"""The result of `apt install ./monitord_*.deb`."""

import pytest

from tests.system.bed import eventually
from tests.system.installed import Installed

COMMANDS = ("monitord", "monitorctl")
PAGES = ("monitord.8", "monitorctl.1", "monitord.toml.5", "monitord-monitors.5", "monitord-notifiers.5")
UNITS = ("monitord.service", "monitord.socket", "monitord@.service")


def test_service_and_socket_run_and_are_enabled(monitord: Installed) -> None:
    for unit in ("monitord.service", "monitord.socket"):
        assert monitord.systemctl("is-active", unit).stdout.strip() == "active"
        assert monitord.systemctl("is-enabled", unit).stdout.strip() == "enabled"
    assert monitord.machine.show("monitord.service", "Type") == "notify"


def test_daemon_runs_as_its_own_user(monitord: Installed) -> None:
    assert monitord.machine.shell(f"ps -o user= -p {monitord.pid}").strip() == "monitord"


def test_socket_answers_as_soon_as_start_returns(monitord: Installed) -> None:
    monitord.systemctl("stop", "monitord.service", "monitord.socket")
    monitord.systemctl("start", "monitord.service")
    assert monitord.get("/status")["state"] == "running"


def test_only_root_and_the_group_may_read_the_configuration(monitord: Installed) -> None:
    output = monitord.machine.shell("stat -c '%a %U:%G' /etc/monitord.toml /etc/monitord.d")
    assert output.splitlines() == ["640 root:monitord", "750 root:monitord"]


def test_shipped_configuration_is_valid(monitord: Installed) -> None:
    monitord.machine.run("rm", "/etc/monitord.d/test.toml")
    assert "valid" in monitord.machine.run("monitorctl", "check-config").stdout


def test_shipped_configuration_monitors_the_host(monitord: Installed) -> None:
    monitord.machine.shell("rm /etc/monitord.d/*.toml")
    monitord.systemctl("restart", "monitord")
    eventually(
        lambda: "host:disk:/" in {monitor["name"] for monitor in monitord.get("/monitors")["monitors"]}
    )


def test_systemd_analyze_reports_nothing_about_the_units(monitord: Installed) -> None:
    for unit in UNITS:
        result = monitord.machine.run("systemd-analyze", "verify", f"/usr/lib/systemd/system/{unit}")
        assert result.stdout + result.stderr == ""


def test_exposure_level_is_at_most_1_1(monitord: Installed) -> None:
    for unit in ("monitord.service", "monitord@other.service"):
        # The threshold is in tenths.
        monitord.machine.run("systemd-analyze", "security", "--no-pager", "--threshold=11", unit)


def test_memory_of_the_service_is_limited(monitord: Installed) -> None:
    shown = {
        name: monitord.machine.show("monitord.service", name)
        for name in ("MemoryHigh", "MemoryMax", "OOMPolicy")
    }
    assert shown == {"MemoryHigh": str(768 << 20), "MemoryMax": str(1 << 30), "OOMPolicy": "continue"}


def test_manual_has_a_page_for_each_command_and_file(monitord: Installed) -> None:
    for page in PAGES:
        name, _, section = page.rpartition(".")
        assert page in monitord.machine.run("man", "--where", section, name).stdout
        shown = monitord.machine.run("man", "--warnings", "--ascii", section, name)
        assert name.upper() in shown.stdout
        assert shown.stderr == ""
    # systemd 257 quotes each.
    documented = monitord.machine.show("monitord.service", "Documentation").replace('"', "")
    assert (
        documented
        == "man:monitord(8) man:monitord.toml(5) man:monitord-monitors(5) man:monitord-notifiers(5)"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_ignore_modules_in_the_working_directory(monitord: Installed, command: str) -> None:
    monitord.machine.write("/srv/planted/monitord/__init__.py", 'raise SystemExit("planted")\n')
    output = monitord.machine.shell(f"cd /srv/planted && PYTHONPATH=/srv/planted {command} --version")
    assert output.startswith(command)


def test_completion_lists_commands_and_monitors(monitord: Installed) -> None:
    monitord.machine.run("apt", "install", "--yes", "bash-completion")

    def completed(*words: str) -> list[str]:
        command = words[0]
        line = " ".join(f"'{word}'" for word in words)
        script = (
            "source /usr/share/bash-completion/bash_completion;"
            f"_completion_loader {command}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1};"
            f'COMP_LINE="{" ".join(words)}"; COMP_POINT=${{#COMP_LINE}}; _{command};'
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        return monitord.machine.run("bash", "-c", script).stdout.split()

    assert completed("monitorctl", "rel") == ["reload"]
    assert completed("monitorctl", "check", "") == ["web"]
    assert completed("monitord", "--ch") == ["--check-config"]
    for folder in ("fish/vendor_completions.d/monitorctl.fish", "zsh/vendor-completions/_monitorctl"):
        assert "complete" in monitord.machine.run("cat", f"/usr/share/{folder}").stdout


def test_byte_code_is_compiled_at_install(monitord: Installed) -> None:
    assert monitord.machine.shell("ls /usr/lib/python3/dist-packages/monitord/__pycache__/daemon.*.pyc")


def test_monitorctl_shows_the_state_of_all_monitors(monitord: Installed) -> None:
    monitord.await_check("web")
    result = monitord.machine.run("monitorctl", "status")
    assert "1 up" in result.stdout
    assert "web" in result.stdout
    assert "(running)" in monitord.machine.run("monitorctl", "version").stdout
    assert "pass" in monitord.machine.run("monitorctl", "check", "web").stdout
