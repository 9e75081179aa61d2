"""EfficientDet (Tan et al. 2020, arXiv:1911.09070) that labels pixels."""
