"""A custom notifier type: the subject of each message on a display that takes lines over TCP."""

import asyncio
from dataclasses import dataclass

from monitord.config import Table
from monitord.notifiers import DeliveryError, Message, Notifier


@dataclass(frozen=True, slots=True)
class DisplayOptions:
    host: str
    port: int


class DisplayNotifier(Notifier[DisplayOptions]):
    type_name = "display"

    @classmethod
    def read_options(cls, table: Table) -> DisplayOptions:
        return DisplayOptions(table.text("host"), table.integer("port", default=2000))

    async def deliver(self, message: Message, *, deadline: float) -> str:
        try:
            reader, writer = await asyncio.open_connection(self.options.host, self.options.port)
        except OSError as error:
            raise DeliveryError(f"cannot connect to the display: {error}") from error
        try:
            writer.write(f"{message.subject}\n".encode())
            response = await reader.readline()
        finally:
            writer.close()
        if response != b"OK\n":
            raise DeliveryError("the display has not confirmed the message")
        return "confirmed"
