"""HTTP client, based on aiohttp."""
