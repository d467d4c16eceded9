"""The synchronization of the clock of this host, as its time services and the kernel report it."""
