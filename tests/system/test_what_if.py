"""`monitorctl what-if` as root, with the history that the running service writes."""

import json
from typing import Any

from monitord.cli.exit_status import EXIT_DIFFERENT, EXIT_OK
from tests.system.bed import Completed, eventually
from tests.system.installed import FAILING, WATCHING, Installed

NOTIFIER = """
[notifiers.hook]
url = "http://127.0.0.1:9911/told"
"""
NEW = "/root/what-if.toml"


def what_if(monitord: Installed, *options: str) -> Completed:
    words = ("monitorctl", "what-if", "--config", NEW, "--since", "1h", *options)
    return monitord.machine.run(*words, ok=False)


def test_replay_of_the_real_history_shows_the_alert_that_would_be_missing(monitord: Installed) -> None:
    machine = monitord.machine
    monitord.configure(WATCHING + FAILING + NOTIFIER)
    monitord.systemctl("reload", "monitord")
    machine.write(NEW, WATCHING + FAILING.replace("fail_after = 1", "fail_after = 1000") + NOTIFIER)

    def document() -> Any:
        """The comparison, once the incident is in the database, which is written every few seconds."""
        done = what_if(monitord, "--json")
        assert done.stdout, done.stderr
        found = json.loads(done.stdout)
        return found if found["incidents"]["stored"] else None

    found = eventually(document, every_s=1)
    assert found["alerts"]["current"] == found["incidents"]["current"] == 1
    assert found["alerts"]["new"] == found["incidents"]["new"] == 0
    (change,) = found["alerts"]["changes"]
    assert (change["current"]["monitor"], change["current"]["reason"]) == ("broken", "condition_failed")
    different = what_if(monitord)
    assert different.returncode == EXIT_DIFFERENT, different.stderr
    assert "Alerts that differ: 1" in different.stdout
    assert "problem to hook" in different.stdout

    machine.write(NEW, WATCHING + FAILING + NOTIFIER)
    same = what_if(monitord)
    assert same.returncode == EXIT_OK, same.stdout + same.stderr
    # Root has left no files to the daemon, which still writes its history.
    assert machine.shell("find /var/lib/monitord ! -user monitord") == ""
    assert monitord.get("/api/v1/status")["history"]["error"] is None
    machine.run("rm", NEW)
