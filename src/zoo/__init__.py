"""What is known of every network and training method here: `list_models`."""

from src.zoo.models import Measured, Model, Paper, Score, list_models, list_papers

__all__ = ["Measured", "Model", "Paper", "Score", "list_models", "list_papers"]
