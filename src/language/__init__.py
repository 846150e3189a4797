"""Language models, local or behind a server, asked with text and pictures."""
