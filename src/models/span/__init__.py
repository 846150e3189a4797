"""The span network of Elastic Moment Bounding (EMB; Huang et al., ECCV 2022), on which TEA is built."""
