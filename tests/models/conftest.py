"""Servers and trained models, as the tests of the server have them."""

from tests.server.conftest import host, trained

__all__ = ["host", "trained"]
