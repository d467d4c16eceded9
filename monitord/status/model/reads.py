"""What every face of the status room reads from: the read model, and the answers kept ready made from it."""

import contextlib
from collections.abc import Iterator

from monitord.clock import Clock
from monitord.dispatch import Dispatcher
from monitord.status.access.control import Control
from monitord.status.model.listing import Listing
from monitord.status.model.rendered import Fragments, Rendered, WorstFirst, encode
from monitord.status.model.snapshot import Snapshots
from monitord.web import HTTPNotFound, Request


class Reads:
    """One for the whole application."""

    def __init__(self, snapshots: Snapshots, dispatcher: Dispatcher, control: Control, clock: Clock) -> None:
        self.snapshots = snapshots
        self.dispatcher = dispatcher
        self.clock = clock
        self.fragments = Fragments(dispatcher, clock)
        self.listing = Listing(self.fragments)
        self.status = Rendered(lambda: encode(snapshots.status(control)), clock)
        self.worst_first = Rendered(WorstFirst(self.fragments), clock)

    def outdate(self) -> None:
        """Something was asked of the daemon: what is read next shows it."""
        self.fragments.outdate()
        self.status.outdate()
        self.worst_first.outdate()

    def brief(self, name: str) -> bytes:
        """One monitor as it is now. Raises KeyError."""
        return self.fragments.of(self.dispatcher.watched[name])


@contextlib.contextmanager
def find_monitor(request: Request) -> Iterator[str]:
    """The name in the path; a KeyError within means that no monitor has it."""
    name: str = request.match_info["name"]
    try:
        yield name
    except KeyError:
        raise HTTPNotFound(text=f"no monitor is called {name!r}; GET /monitors lists them\n") from None
