"""Write the real output of the commands into the pages that show it: python3 -m tests.docs.renew [PAGE…]."""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.docs.pages import (
    PAGES,
    ROOT,
    Block,
    blocks,
    daemon_config,
    mail_text,
    normalised,
    presentable,
    steps,
    with_texts,
    write_source,
)
from tests.docs.world import World, world


def renew(page: Path) -> None:
    """Replace what differs by more than times, durations and identifiers."""
    config = daemon_config(page)
    if config is None:
        return
    old = page.read_text()
    new = with_texts(old, asyncio.run(real_texts(list(blocks(page)), config)))
    if new != old:
        page.write_text(new)
        print(f"{page.relative_to(ROOT)}: regenerated")  # noqa: T201 - this is a command


async def real_texts(page: Sequence[Block], config: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder), config) as running:
            if page:
                write_source(page[0].page, running.folder)
            return [await _renewed(block, running) for block in page]


async def _renewed(block: Block, running: World) -> str:
    if block.mark == "notification":
        return _newer(block.text, mail_text(running.mail.mails[0]))
    if block.language != "console":
        return block.text
    text = ""
    for step in steps(block.text):
        output = _newer(step.output, await running.run(step.command)).rstrip("\n")
        # An empty line sets an output apart from the next command.
        text += f"{step.line}\n{output}\n\n" if output else f"{step.line}\n"
    return text.rstrip("\n") + "\n"


def _newer(shown: str, real: str) -> str:
    real = presentable(real)
    return shown if normalised(shown) == normalised(real) else real


if __name__ == "__main__":
    for name in sys.argv[1:] or PAGES:
        renew(Path(name).resolve())
