"""Bins frozen from the reference, and records filled into them."""
