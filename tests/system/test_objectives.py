"""An objective that uses up its error budget is notified, and stays so across a restart."""

from typing import Any

from tests.system.bed import eventually
from tests.system.installed import FAILING, WATCHING, Installed
from tests.system.sink import Sink

# The shortest window and a high target: the fast burn needs 1.2 seconds of downtime.
BURNING = """
[monitors.shop]
type = "objective"
monitors = ["broken"]
target = 99.99
window = "7d"
check_every = "1s"
timeout = "1s"

[notifiers.hook]
url = "http://127.0.0.1:9911/told"
group_wait = "500ms"
"""


def test_burning_objective_causes_one_notification_and_outlives_a_restart(
    monitord: Installed, sink: Sink
) -> None:
    sink.start()
    monitord.configure(WATCHING + FAILING + BURNING)
    monitord.systemctl("reload", "monitord")

    def of_shop() -> list[dict[str, Any]]:
        return [sent for sent in sink.notifications() if sent["monitor"] == "shop"]

    (problem,) = eventually(of_shop)
    assert (problem["kind"], problem["state"], problem["reason"]) == ("problem", "down", "fast_burn")
    assert "error budget" in problem["detail"]
    before = monitord.get("/api/v1/monitors/shop")
    assert before["state"] == "down"

    monitord.systemctl("restart", "monitord")
    monitord.await_check("shop")
    after = monitord.get("/api/v1/monitors/shop")
    # The downtime before the restart counts: the state is confirmed by the first check, and not notified again.
    assert (after["state"], after["since"]) == ("down", before["since"])
    assert after["last_result"]["fields"]["error_budget.used_time"] > 1
    assert [sent["alert"] for sent in of_shop()] == [problem["alert"]]
