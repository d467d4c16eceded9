"""Clients of databases: connect, read the state of the server, run one query."""
