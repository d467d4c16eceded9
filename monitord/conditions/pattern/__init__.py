"""Patterns that match in linear time."""
