"""Keras layers that DeepLab needs and Keras lacks."""
