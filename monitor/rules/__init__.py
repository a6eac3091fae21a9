"""Rules, alerts and silences as pure functions."""
