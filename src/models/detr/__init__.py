"""Moment retrieval as set prediction: QD-DETR (Moon et al., CVPR 2023) and Moment-DETR (Lei et al., NeurIPS 2021)."""
