"""Writes the tables of docs/metrics.md: `python -m monitor.exposition`."""

from monitor.exposition.families import markdown

print(markdown())
