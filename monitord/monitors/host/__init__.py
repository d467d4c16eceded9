"""Monitors of this host: memory, load and processes."""
