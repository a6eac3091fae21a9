"""Spreads connections over the replicas: what is published as the app's one port, however many replicas there are.

    python balance.py LISTEN_PORT HOST PORT

Every connection asks DNS for the replicas, takes the next one that answers, and passes bytes both ways.
"""

from __future__ import annotations

import asyncio
import itertools
import sys

TURN = itertools.count()


async def replica(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the next replica in turn; raises OSError where none answers."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)
    addresses = sorted({item[4][0] for item in found})
    start = next(TURN)
    for step in range(len(addresses)):
        try:
            connecting = asyncio.open_connection(addresses[(start + step) % len(addresses)], port)
            return await asyncio.wait_for(connecting, 2)
        except (OSError, TimeoutError):
            continue
    raise ConnectionRefusedError(f"no replica of {host} answers")


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass bytes on until their end."""
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()


async def serve(listen: int, host: str, port: int) -> None:
    """Accept connections for ever."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, requests = await replica(host, port)
            try:
                await asyncio.gather(copy(reader, requests), copy(answers, writer))
            finally:
                requests.close()
        except OSError as error:
            print(f"connection lost: {error}", file=sys.stderr)  # noqa: T201
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "0.0.0.0", listen)  # noqa: S104 - in a container of its own
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
