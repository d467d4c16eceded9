"""Common parts of all network clients: name resolution, errors, phases, TLS and certificates."""
