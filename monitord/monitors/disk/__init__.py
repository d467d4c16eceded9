"""The monitor type `disk`, and the mounted file systems of this host."""
