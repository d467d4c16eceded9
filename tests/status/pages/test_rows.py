"""Rows are rendered once for what they show, and never hold the loop for long."""

import asyncio

from monitord.clock import SystemClock
from monitord.status.pages.rendering import Rendering
from monitord.status.pages.rows import SLICE_S, Rows
from tests.status.site import Site, site

NAMES = [f"mon-{number:03}" for number in range(50)]


class CountingRendering(Rendering):
    """Counts how often it renders."""

    def __init__(self) -> None:
        super().__init__()
        self.rendered = 0

    def render(self, template: str, values: object) -> str:
        self.rendered += 1
        return super().render(template, values)  # type: ignore[arg-type]  # handed on as it came


class SlowingClock(SystemClock):
    """A clock of which each reading takes as long as a slice."""

    def __init__(self) -> None:
        self.looks = 0

    def monotonic_s(self) -> float:
        self.looks += 1
        return self.looks * SLICE_S * 1.01


async def rows_of(world: Site) -> tuple[Rows, CountingRendering]:
    rendering = CountingRendering()
    await rendering.load()
    return Rows(world.read_model, rendering, SlowingClock()), rendering


async def test_row_is_rendered_again_only_after_a_change() -> None:
    async with site(dict.fromkeys(NAMES, ())) as world:
        await world.check(*NAMES)
        rows, rendering = await rows_of(world)
        for _ in range(3):
            rows.refresh()
            assert len(await rows.rendered(NAMES)) == len(NAMES)
        assert rendering.rendered == len(NAMES)
        await world.check(NAMES[7], NAMES[9])
        rows.refresh()
        assert [row.revision for row in rows.by_name.values()].count(world.read_model.revision) == 2
        await rows.rendered(NAMES)
        assert rendering.rendered == len(NAMES) + 2


async def test_event_loop_runs_between_slices() -> None:
    async with site(dict.fromkeys(NAMES, ())) as world:
        rows, _ = await rows_of(world)
        rows.refresh()
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(others())
        await rows.rendered(NAMES)
        other.cancel()
        await asyncio.wait([other])
        assert turns >= len(NAMES)


async def test_simultaneous_requests_render_each_row_once() -> None:
    async with site(dict.fromkeys(NAMES, ())) as world:
        rows, rendering = await rows_of(world)
        rows.refresh()
        first, second = await asyncio.gather(rows.rendered(NAMES), rows.rendered(NAMES))
        assert first == second
        assert rendering.rendered == len(NAMES)


async def test_row_of_a_monitor_removed_meanwhile_is_omitted() -> None:
    async with site(dict.fromkeys(NAMES, ())) as world:
        rows, _ = await rows_of(world)
        rows.refresh()
        world.registry.remove(NAMES[0])
        world.read_model.refresh()
        assert len(await rows.rendered(NAMES)) == len(NAMES) - 1
        rows.refresh()
        assert NAMES[0] not in rows.by_name
