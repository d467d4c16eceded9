"""Tables, charts and text on the terminal."""
