"""The same counts as Prometheus metrics."""
