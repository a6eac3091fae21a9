"""Tests of judging live."""
