"""DNS client. Messages are built and parsed with dnspython."""
