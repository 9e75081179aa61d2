"""U-Net++ (Zhou et al. 2018, arXiv:1807.10165) over any encoder."""
