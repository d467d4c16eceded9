"""Streams over TCP and Unix sockets: dialogues, STARTTLS and SMTP."""
