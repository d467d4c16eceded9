"""The read model, from which the API, the pages and the metrics are made."""
