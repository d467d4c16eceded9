"""What every exchange with a peer needs: names to addresses, errors, phases, TLS and certificates."""
