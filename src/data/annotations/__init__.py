"""Readers of the public annotation formats: one file a format, every one giving the same record."""
