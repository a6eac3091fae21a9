"""Spreads requests over the replicas: what is published as the app's one port, however many replicas there are.

    python balance.py LISTEN_PORT HOST PORT

Every connection asks DNS for the replicas and takes the next one that answers. It serves one request: the replica is
told to close it, so that a client that would keep its connection goes to the next replica with its next request.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import sys

TURN = itertools.count()

#: Longest head of a request in bytes; waitress takes no longer one either.
HEAD = 1 << 18

NOBODY = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 25\r\n\r\nno replica answers (yet)\n"
)


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


def closing(head: bytes) -> bytes:
    r"""The head of a request, asking for the connection to be closed after the answer.

    >>> closing(b"GET / HTTP/1.1\r\nHost: app\r\nConnection: keep-alive\r\n\r\n")
    b'GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n'
    """
    kept = re.sub(rb"(?im)^connection:.*\r\n", b"", head)
    return kept.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n"


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass bytes on until their end."""
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()


async def listen(port: int, host: str, target: int) -> asyncio.Server:
    """Accept connections on `port` and pass each on to port `target` of a replica of `host`."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = closing(await reader.readuntil(b"\r\n\r\n"))
            try:
                answers, requests = await replica(host, target)
            except OSError as error:
                print(error, file=sys.stderr)  # noqa: T201
                writer.write(NOBODY)
                await writer.drain()
                return
            try:
                requests.write(head)
                asking = asyncio.create_task(copy(reader, requests))
                while (head := await answers.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 1"):
                    writer.write(head)  # "go on": the answer comes later
                writer.write(closing(head))
                await copy(answers, writer)
                asking.cancel()
            finally:
                requests.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # The client has left, or speaks no HTTP.
        finally:
            writer.close()

    return await asyncio.start_server(connected, "0.0.0.0", port, limit=HEAD)  # noqa: S104 - in a container of its own


async def main(port: int, host: str, target: int) -> None:
    """Serve for ever."""
    async with await listen(port, host, target) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
