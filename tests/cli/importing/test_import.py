"""The output of `monitorctl import`: files, standard output, the summary and the exit status."""

import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from monitord.cli.control_command import main
from monitord.cli.importing import FORMAT_NAMES
from monitord.cli.importing.formats import FORMATS
from monitord.config import ConfigAccess
from monitord.settings import read_settings
from tests.cli.importing.cases import CASES, EXPECTED, SOURCES, ImportCase, database, without_version

ROOT = Path(__file__).parents[3]
GATUS = str(SOURCES / "gatus.yaml")
COMPLETE = 'endpoints: [{name: shop, url: "https://shop.example.org/", conditions: ["[STATUS] == 200"]}]\n'


def by_name(case: ImportCase) -> str:
    return case.name


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_source_is_translated_to_the_expected_file(
    case: ImportCase, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Run `python3 -m tests.cli.importing.cases` to regenerate the expected files."""
    status = main(["import", case.format_name, *case.arguments(tmp_path)])
    output, errors = capfd.readouterr()
    assert without_version(output) == (EXPECTED / f"{case.name}.toml").read_text()
    assert errors == (EXPECTED / f"{case.name}.txt").read_text()
    assert status == (0 if "everything was translated" in errors else 2)


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_daemon_accepts_the_result(case: ImportCase) -> None:
    settings = read_settings(EXPECTED / f"{case.name}.toml", access=ConfigAccess.OTHER_USER)
    document = tomli.loads((EXPECTED / f"{case.name}.toml").read_text())
    assert {monitor.name for monitor in settings.monitors} == set(document["monitors"])


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_format_is_detected(case: ImportCase, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["import", *case.arguments(tmp_path)])
    assert without_version(capfd.readouterr().out) == (EXPECTED / f"{case.name}.toml").read_text()


def test_format_names_match_the_formats() -> None:
    assert tuple(FORMATS) == FORMAT_NAMES
    assert {case.format_name for case in CASES} == set(FORMAT_NAMES)


def run_import(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None, umask: int = 0o022
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monitord.cli", "import", *arguments],
        cwd=folder, umask=umask, capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **(environment or {})},
    )  # fmt: skip


def test_complete_import_has_status_0(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(COMPLETE)
    done = run_import(tmp_path, "config.yaml")
    assert (done.returncode, done.stderr) == (0, "Gatus: 1 monitor, 0 notifiers; everything was translated\n")


def test_import_without_a_section_has_status_1(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("endpoints: []\n")
    done = run_import(tmp_path, "config.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "monitorctl: config.yaml: no monitors or notifiers of Gatus were found\n"


def test_import_without_a_section_lists_other_items(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text('endpoints: []\nmaintenance: {start: "23:00"}\n')
    done = run_import(tmp_path, "config.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert "1 item not translated:\n  maintenance: " in done.stderr
    assert done.stderr.endswith("monitorctl: there is nothing to import\n")


def test_unknown_format_is_not_taken_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "config.cfg").write_text("define host {}\n")
    done = run_import(tmp_path, "nagios", "config.cfg")
    assert (done.returncode, done.stderr) == (
        1,
        "monitorctl: 'nagios' is neither a format nor a file; "
        "the formats are uptime-kuma, gatus, blackbox, monit and uptimerobot\n",
    )


def test_output_is_a_new_file_that_others_cannot_read(tmp_path: Path) -> None:
    done = run_import(tmp_path, GATUS, "--output", "new.toml", umask=0)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Written to new.toml, with the secrets of the source" in done.stderr
    assert stat.S_IMODE((tmp_path / "new.toml").stat().st_mode) == 0o640
    assert without_version((tmp_path / "new.toml").read_text()) == (EXPECTED / "gatus.toml").read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["new.toml"]


def test_umask_further_restricts_the_output(tmp_path: Path) -> None:
    run_import(tmp_path, GATUS, "--output", "new.toml", umask=0o077)
    assert stat.S_IMODE((tmp_path / "new.toml").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["file", "link"])
def test_existing_output_is_replaced_with_force_only(tmp_path: Path, kind: str) -> None:
    target, output = tmp_path / "target", tmp_path / "new.toml"
    target.write_text("kept")
    if kind == "link":
        output.symlink_to(target)
    else:
        output.write_text("kept")
    done = run_import(tmp_path, GATUS, "--output", "new.toml")
    assert (done.returncode, done.stderr) == (
        1,
        "monitorctl: new.toml: already exists; write --force to replace it\n",
    )
    assert output.read_text() == "kept"
    done = run_import(tmp_path, GATUS, "--output", "new.toml", "--force")
    assert done.returncode == 2
    assert without_version(output.read_text()) == (EXPECTED / "gatus.toml").read_text()
    # A link is replaced, not followed.
    assert target.read_text() == "kept"
    assert stat.S_IMODE(output.lstat().st_mode) == 0o640


def test_output_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    done = run_import(tmp_path, GATUS, "--output", "none/new.toml")
    assert (done.returncode, done.stdout) == (1, "")
    assert "monitorctl: none/new.toml: cannot be written: No such file or directory" in done.stderr


def test_output_is_utf_8_in_every_locale(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(COMPLETE.replace("STATUS] == 200", "BODY] == Grüße"))
    done = subprocess.run(
        [sys.executable, "-m", "monitord.cli", "import", "config.yaml"],
        cwd=tmp_path, capture_output=True, check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert "Grüße" in done.stdout.decode()


def test_secrets_are_in_the_file_and_not_in_the_summary(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text("modules: {http: {prober: http, http: {fail_if_ssl: true}}}\n")
    (tmp_path / "p.yml").write_text(
        "scrape_configs: [{job_name: j, params: {module: [http]}, "
        'static_configs: [{targets: ["https://kim:hidden-1@www.example.org/?token=hidden-2"]}]}]\n'
    )
    done = run_import(tmp_path, "b.yml", "p.yml")
    assert tomli.loads(done.stdout)["monitors"]["www.example.org"]["url"].count("hidden") == 2
    assert "https://www.example.org/: fail_if_ssl" in done.stderr
    assert "hidden" not in done.stderr


def test_section_that_the_daemon_would_reject_is_written_as_comments(tmp_path: Path) -> None:
    (tmp_path / "kuma.json").write_text(
        '{"monitorList": [{"id": 1, "name": "a", "type": "http", "url": "gopher://x/", "parent": 2},'
        '{"id": 2, "name": "g", "type": "group"}, {"id": 3, "name": "b", "type": "http", "url": "http://x/"}]}'
    )
    done = run_import(tmp_path, "kuma.json")
    assert done.returncode == 2
    assert list(tomli.loads(done.stdout)["monitors"]) == ["b"]
    assert '# Not active: url: "gopher://x/" is not an HTTP URL; write "https://host/path"' in done.stdout
    assert "  g: none of its monitors is active\n" in done.stderr


def test_missing_library_is_named(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise ImportError\n")
    done = run_import(tmp_path, GATUS, environment={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert (done.returncode, done.stderr) == (
        1,
        "monitorctl: YAML files need the package python3-yaml; run: apt install python3-yaml\n",
    )


def test_other_formats_work_without_the_library(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise ImportError\n")
    done = run_import(tmp_path, str(SOURCES / "monitrc"), environment={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert done.returncode == 2


def test_database_is_not_changed(tmp_path: Path) -> None:
    path = database(tmp_path, "kuma-1.sql")
    path.chmod(0o444)
    before = path.read_bytes()
    done = run_import(tmp_path, "kuma-1.db")
    assert done.returncode == 0
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["kuma-1.db"]


def test_pipe_is_a_source(tmp_path: Path) -> None:
    script = f"{sys.executable} -m monitord.cli import gatus <(cat config.yaml)"
    (tmp_path / "config.yaml").write_text(COMPLETE)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, list(tomli.load(io.BytesIO(done.stdout.encode()))["monitors"])) == (0, ["shop"])


def test_no_file_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["import", "gatus"])
    assert ended.value.code == 64
    assert "a file is needed; write: import FORMAT FILE" in capsys.readouterr().err
