"""Tests of monitor/outcomes, one file for each of its files."""
