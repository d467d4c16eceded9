"""What was: results, spans of health, incidents and the state that survives a restart, in SQLite behind one thread."""
