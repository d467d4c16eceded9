"""Work that the start of the daemon postpones is done once it is ready."""

import gc
from pathlib import Path

from tests.lifetimes import WEB, lifetime, run


def test_garbage_collector_is_on_once_the_daemon_is_ready(tmp_path: Path) -> None:
    async def main() -> None:
        gc.disable()  # as `cli.start` does
        async with lifetime(tmp_path, WEB):
            assert gc.isenabled()
            assert gc.get_freeze_count() > 0

    try:
        run(main)
    finally:
        gc.enable()
