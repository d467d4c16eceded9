"""Configuration options that monitors and notifiers share."""
