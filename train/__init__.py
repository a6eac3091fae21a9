"""Trains the example models, builds references from data, and generates load."""
