"""Tests of monitor/notify."""
