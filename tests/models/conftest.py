"""Servers and trained models, as the tests of the server have them."""

from tests.server.conftest import start, trained

__all__ = ["start", "trained"]
