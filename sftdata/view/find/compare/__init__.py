"""Two datasets compared: rows by their content, and what else differs."""
