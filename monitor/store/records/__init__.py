"""Verdicts, alerts, notifications and accepted references in the database."""
