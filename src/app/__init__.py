"""A page and an API over a collection of videos."""
