"""`/metrics`: one immutable snapshot rendered in the Prometheus text format or OpenMetrics."""
