"""D-Bus, and the units of systemd over it."""
