"""The monitor inside another program: observing and judging there, or recording for a server elsewhere."""
