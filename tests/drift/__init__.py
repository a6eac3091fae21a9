"""Tests of monitor/drift, one file for each of its files, and one for each promise about its verdicts."""
