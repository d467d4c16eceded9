"""Write the messages of notifiers to a directory, one file each: emails on port 2525, requests on port 9911.

sink.py /tmp/sink
"""

import asyncio
import itertools
import sys
from pathlib import Path

FOLDER = Path(sys.argv[1])
numbers = itertools.count()


def keep(kind: str, data: bytes) -> None:
    part = FOLDER / f".{kind}"
    part.write_bytes(data)
    part.rename(FOLDER / f"{kind}-{next(numbers):03}")


async def take_mail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 sink\r\n")
    while line := await reader.readline():
        if line.upper().startswith(b"DATA"):
            writer.write(b"354 go on\r\n")
            keep("mail", await reader.readuntil(b"\r\n.\r\n"))
        writer.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 fine\r\n")
    writer.close()


async def take_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
    keep("request", await reader.readexactly(int(fields[b"content-length"])))
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    await writer.drain()
    writer.close()


async def main() -> None:
    mail = await asyncio.start_server(take_mail, "127.0.0.1", 2525)
    web = await asyncio.start_server(take_request, "0.0.0.0", 9911)
    async with mail, web:
        await asyncio.Event().wait()


FOLDER.mkdir(exist_ok=True)
asyncio.run(main())
