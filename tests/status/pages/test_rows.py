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
    """Each look at it takes as long as a slice."""

    def __init__(self) -> None:
        self.looks = 0

    def monotonic_s(self) -> float:
        self.looks += 1
        return self.looks * SLICE_S * 1.01


async def rows_of(one: Site) -> tuple[Rows, CountingRendering]:
    rendering = CountingRendering()
    await rendering.load()
    return Rows(one.read_model, rendering, SlowingClock()), rendering


async def test_a_row_is_rendered_again_only_when_it_shows_something_else() -> None:
    async with site(dict.fromkeys(NAMES, ())) as one:
        await one.check(*NAMES)
        rows, rendering = await rows_of(one)
        for _ in range(3):
            rows.refresh()
            assert len(await rows.rendered(NAMES)) == len(NAMES)
        assert rendering.rendered == len(NAMES)
        await one.check(NAMES[7], NAMES[9])
        rows.refresh()
        assert [row.revision for row in rows.by_name.values()].count(one.read_model.revision) == 2
        await rows.rendered(NAMES)
        assert rendering.rendered == len(NAMES) + 2


async def test_the_loop_goes_on_between_slices() -> None:
    async with site(dict.fromkeys(NAMES, ())) as one:
        rows, _ = await rows_of(one)
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
    async with site(dict.fromkeys(NAMES, ())) as one:
        rows, rendering = await rows_of(one)
        rows.refresh()
        first, second = await asyncio.gather(rows.rendered(NAMES), rows.rendered(NAMES))
        assert first == second
        assert rendering.rendered == len(NAMES)


async def test_a_row_whose_monitor_leaves_meanwhile_is_left_out() -> None:
    async with site(dict.fromkeys(NAMES, ())) as one:
        rows, _ = await rows_of(one)
        rows.refresh()
        one.registry.remove(NAMES[0])
        one.read_model.refresh()
        assert len(await rows.rendered(NAMES)) == len(NAMES) - 1
        rows.refresh()
        assert NAMES[0] not in rows.by_name
