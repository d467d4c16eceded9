"""Discovery: sources that read targets from files, over HTTP or from DNS, as the service discovery of Prometheus.

Reading order: `template`, `targets`, `settings`, `source`, and a file for each type.
"""

from monitord.sources.discovery.settings import DiscoverySettings, read_discovery

__all__ = ["DiscoverySettings", "read_discovery"]
