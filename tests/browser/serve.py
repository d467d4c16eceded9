"""The site of the browser tests, on a loopback port. Prints its address and ends at the end of its standard input.

    python3 tests/browser/serve.py [--monitors 400]

A line "NAME REASON" makes a monitor return this reason from then on, and checks it until the state is confirmed.
"""

import argparse
import asyncio
import random
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from monitord.model import Reason  # noqa: E402 - found by the line above
from monitord.web import Server  # noqa: E402
from tests.status.site import Site, site, usual_site  # noqa: E402

ROLES = ("web", "api", "db", "cache", "mail", "dns", "queue", "backup", "gateway", "search")
PLACES = ("ams", "ber", "fra", "lis", "osl")


def chosen_site(count: int) -> AbstractAsyncContextManager[Site]:
    if not count:
        return usual_site()
    names = [
        f"{ROLES[i % len(ROLES)]}-{PLACES[i // len(ROLES) % len(PLACES)]}-{i // 50 + 1:02}"
        for i in range(count)
    ]
    tags = {name: (name.split("-")[1], name.split("-")[0]) for name in names}
    return site(tags)


async def set_states(browser_site: Site) -> None:
    """Let two monitors fail and three warn; all others are up."""
    names = list(browser_site.monitors)
    dice = random.Random(7)
    await browser_site.check(*names)
    for name in dice.sample(names, 2):
        await browser_site.fail(name, dice.choice([Reason.TIMEOUT_CONNECT, Reason.TLS_EXPIRED]))
    for name in dice.sample(names, 3):
        await browser_site.fail(name, Reason.PLUGIN_WARNING)


async def read_commands(browser_site: Site) -> None:
    """Apply the commands on the standard input until its end."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, reason = line.split()
        await browser_site.fail(name, Reason(reason))


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--monitors", type=int, default=0)
    arguments = parser.parse_args()
    async with chosen_site(arguments.monitors) as browser_site:
        if arguments.monitors:
            await set_states(browser_site)
        async with Server(browser_site.status_application, host="127.0.0.1", port=0, grace_s=0.1) as server:
            print(f"http://127.0.0.1:{server.port}", flush=True)  # noqa: T201 - read by browser.mjs
            await read_commands(browser_site)


if __name__ == "__main__":
    asyncio.run(main())
