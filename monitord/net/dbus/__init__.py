"""D-Bus client, and the units of systemd over D-Bus."""
