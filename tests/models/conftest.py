"""Servers, as the tests of the server have them."""

from tests.server.conftest import host

__all__ = ["host"]
