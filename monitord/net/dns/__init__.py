"""DNS queries, with messages by dnspython."""
