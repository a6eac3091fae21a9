"""Telltale's monitor: a library first, without Flask.

The stages, in the order of the data path: capture, window, store, drift, rules, notify; exposition beside them.
"""
