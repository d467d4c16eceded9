"""Monitors of this host: file systems, certificates, timers, a required reboot."""
