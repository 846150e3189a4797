"""Moments from points in time, each with a score and its distances to a start and an end: UniVTG."""
