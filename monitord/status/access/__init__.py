"""Who may ask the daemon for what, and how requests and errors are read and written."""
