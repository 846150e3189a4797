"""Queries in other words, by which retrieval hangs less on how one person put it."""
