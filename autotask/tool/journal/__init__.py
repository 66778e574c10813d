"""The journal as the tool reads it: its index, its files, what is kept."""
