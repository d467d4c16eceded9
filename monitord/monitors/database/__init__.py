"""Monitor types of databases: one file each, and what they share in `common.py`."""
