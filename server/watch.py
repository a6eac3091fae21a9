"""Which sockets wait for what: the turn of the server's loop.

waitress asks every connection at every turn what it waits for, so that a few hundred idle ones cost as much as the
prediction of the one that is not. Here only those are asked again that something may have happened to.
"""

from __future__ import annotations

import select
from typing import Any

from waitress import wasyncore

READ, WRITE = select.POLLIN | select.POLLPRI, select.POLLOUT


class Watch(dict[int, Any]):
    """The map of a loop's dispatchers by descriptor, where waitress enters each and takes it out before it is closed.

    All of it belongs to the thread that leads the loop.
    """

    def __init__(self) -> None:
        super().__init__()
        self._poll = select.epoll() if hasattr(select, "epoll") else select.poll()
        self._second = 1 if hasattr(select, "epoll") else 1000  # as the one counts it, and the other
        self._wants: dict[int, int] = {}
        self._restless: dict[int, Any] = {}

    def __setitem__(self, fd: int, dispatcher: Any) -> None:
        super().__setitem__(fd, dispatcher)
        self._restless[fd] = dispatcher

    def __delitem__(self, fd: int) -> None:
        super().__delitem__(fd)
        self._restless.pop(fd, None)
        if self._wants.pop(fd, 0):
            self._poll.unregister(fd)

    def stir(self, dispatcher: Any) -> None:
        """Ask a dispatcher again what it waits for: it was changed outside of its own turn."""
        self._restless[dispatcher._fileno] = dispatcher

    def turn(self, timeout: float) -> None:
        """Wait at most so many seconds until a socket is ready, and have all that are handled."""
        for fd, dispatcher in tuple(self._restless.items()):
            # Asked first whether it rests: from then on no other thread changes it.
            rests = getattr(dispatcher, "rests", True)
            self._ask(fd, dispatcher)
            if rests:
                del self._restless[fd]
        for fd, flags in self._poll.poll(timeout * self._second):
            if fd in self._wants:  # else it was closed in this very turn, and may be another's by now
                dispatcher = self._restless[fd] = self[fd]
                wasyncore.readwrite(dispatcher, flags)

    def close(self) -> None:
        """Close all that is left."""
        wasyncore.close_all(self)
        if hasattr(self._poll, "close"):
            self._poll.close()

    def _ask(self, fd: int, dispatcher: Any) -> None:
        wants = READ if dispatcher.readable() else 0
        if dispatcher.writable() and not dispatcher.accepting:
            wants |= WRITE
        had = self._wants.get(fd, 0)
        if wants == had:
            return
        if not had:
            self._poll.register(fd, wants)
        elif wants:
            self._poll.modify(fd, wants)
        else:
            self._poll.unregister(fd)
        self._wants[fd] = wants
