"""Benchmarks of monitord and its peers (`make bench`). Those of the framework are in `web/`."""
