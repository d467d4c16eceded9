"""The site of the browser tests, on a loopback port. Prints its address and ends at the end of its standard input.

    python3 tests/browser/serve.py [--monitors 400]

A line "NAME REASON" makes a monitor return this reason from then on, and checks it until the state is confirmed.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from monitord.alerts import AlertSettings  # noqa: E402 - found by the line above
from monitord.application import ApplicationContainer  # noqa: E402
from monitord.calendar_events import parse_calendar_event  # noqa: E402
from monitord.dispatch import Matcher  # noqa: E402
from monitord.health import TimeWindow  # noqa: E402
from monitord.model import PostStatus, Reason  # noqa: E402
from monitord.notifiers import NotifierSettings  # noqa: E402
from monitord.public_pages.pages import PublicPages  # noqa: E402
from monitord.public_pages.settings import PageGroup, PageSettings  # noqa: E402
from monitord.web import Server  # noqa: E402
from tests.alerts.fakes import fake_type  # noqa: E402
from tests.status.past import FakePast  # noqa: E402
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


async def prepare_lists(browser_site: Site) -> None:
    """Add posts, a silence, maintenance windows and sent notifications, about monitors of the usual site."""
    now = browser_site.clock.now()
    posts = browser_site.posts
    posts.apply(["main", "status-eu"])
    slow = posts.create(
        "main",
        "Slow checkout",
        PostStatus.INVESTIGATING,
        "Some payments fail.\n\nWe look into it.",
        "ann (uid 1000)",
    )
    posts.update(slow.id, PostStatus.IDENTIFIED, "The cause is a full disk.", "ann (uid 1000)")
    posts.edit(slow.id, 2, "The cause is a full disk of the database.", "bo (via proxy)")
    posts.create("status-eu", "New data centre", PostStatus.RESOLVED, "We have moved.", "bo (via proxy)")
    browser_site.interventions.silence(
        Matcher(patterns=("b*",), tags=("web",)), now + timedelta(hours=2), "new disks", "ann (uid 1000)"
    )
    windows = [
        TimeWindow(
            "move", 7200.0, begins_at=now - timedelta(hours=1), monitors=("a.b-c_d",), comment="new rack"
        ),
        TimeWindow(
            "patch-night", 10800.0, schedule=parse_calendar_event("Tue *-*-08..14 22:00"), tags=("prod",)
        ),
    ]
    browser_site.pipeline.configure(windows=windows)
    browser_site.alerts.apply(AlertSettings((NotifierSettings("ops", "fake", None),)))
    browser_site.alerts.evaluate_all(browser_site.monitors, is_isolated=False)


def prepare_page(browser_site: Site, names: Sequence[str]) -> None:
    """Add the page /pages/customers/ of these monitors, with a past, maintenance and posts."""
    now = browser_site.clock.now()
    past = FakePast(now)
    pages = PublicPages(browser_site.registry, past, browser_site.posts, browser_site.clock)
    browser_site.override(ApplicationContainer.public_pages, pages)
    group = PageGroup("Shop", Matcher(patterns=("s*", "web-*")))
    settings = PageSettings(
        "customers",
        "Example Shop",
        "Current state of our services",
        Matcher(patterns=tuple(names)),
        (group,),
        shows_reasons=True,
        is_published=True,
    )
    window = TimeWindow("disks", 7200.0, begins_at=now + timedelta(days=2), monitors=tuple(names))
    pages.apply((settings,), (window,))
    for title, statuses in (
        ("Mail is delayed", (PostStatus.RESOLVED,)),
        ("Orders are slow", (PostStatus.INVESTIGATING, PostStatus.IDENTIFIED)),
    ):
        post = browser_site.posts.create("customers", title, statuses[0], "We are on it.", "ann")
        for status in statuses[1:]:
            browser_site.posts.update(post.id, status, "The cause is known.", "ann")


@asynccontextmanager
async def forwarded(browser_site: Site) -> AsyncIterator[int]:
    """Serve the site on a Unix socket, and forward a loopback port to it as `ssh -L` does. Gives the port.

    Browsers cannot use the socket, and over TCP they cannot make changes.
    """

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        socket_reader, socket_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(copy(reader, socket_writer), copy(socket_reader, writer))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "status.sock"
        async with Server(browser_site.status_application, path=path, grace_s=0.1):
            listener = await asyncio.start_server(forward, "127.0.0.1", 0)
            yield listener.sockets[0].getsockname()[1]
            listener.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--monitors", type=int, default=0)
    arguments = parser.parse_args()
    with fake_type():
        async with chosen_site(arguments.monitors) as browser_site:
            await (set_states(browser_site) if arguments.monitors else prepare_lists(browser_site))
            prepare_page(browser_site, list(browser_site.monitors))
            async with forwarded(browser_site) as port:
                print(f"http://127.0.0.1:{port}", flush=True)  # noqa: T201 - read by browser.mjs
                await read_commands(browser_site)


if __name__ == "__main__":
    asyncio.run(main())
