"""A systemd-native monitoring daemon: it checks, judges, remembers and tells."""

__version__ = "0.1.0"
