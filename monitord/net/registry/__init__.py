"""Registration data of domains: RDAP (RFC 9083), and WHOIS (RFC 3912) for registries without it.

`dns.json` is the bootstrap registry of IANA (RFC 9224), which lists the RDAP servers of top-level domains.
"""
