"""What is measured: monitord beside its peers, in one run (`make bench`). The framework has its own in `web/`."""
