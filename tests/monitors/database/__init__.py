"""Tests of the database types."""
