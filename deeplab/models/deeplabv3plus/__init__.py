"""DeepLabV3+ (Chen et al. 2018, arXiv:1802.02611)."""
