"""HTTP as a client, on aiohttp."""
