"""Video features from decoded frames."""
