"""Predictors that score every segment of a video: a map over first and last snippets."""
