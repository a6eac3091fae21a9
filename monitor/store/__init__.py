"""The SQLite file: windows, verdicts, alerts and deliveries, written by one thread."""
