"""Tests of the monitor inside another program."""
