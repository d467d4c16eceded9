"""Monitor types of databases: one file each, and their common parts in `common.py`."""
