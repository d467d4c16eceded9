"""`monitorctl import`: the configuration of other monitoring programs as TOML of monitord, a file for each format."""

FORMAT_NAMES = ("uptime-kuma", "gatus", "blackbox", "monit", "uptimerobot")
"""Here and not with the formats, because the completion of command lines needs only the names."""
