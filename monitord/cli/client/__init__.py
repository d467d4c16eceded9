"""The client of the status socket."""
