"""Moment retrieval as set prediction: Moment-DETR (Lei et al., NeurIPS 2021) and what was made of it since."""
