"""Alerts become messages that reach people."""
