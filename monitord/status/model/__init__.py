"""The read model: what the API, the pages and the metrics are made from."""
