"""Weights by their paths: every one has a name of its own, in nested layers, too."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from deeplab.bundles import load
from deeplab.bundles.load import load_bundle
from deeplab.bundles.save import save_bundle
from deeplab.bundles.weights import named_weights
from deeplab.errors import ConfigError
from tests.bundles.tiny_models import tiny_card


def nested_network() -> keras.Model:
    """Attention (8 weights), a nested model and a layer of it that is used twice."""
    tokens = keras.Input((5, 6), name="tokens")
    x = layers.MultiHeadAttention(2, 3, name="attention")(tokens, tokens)
    mlp = keras.Sequential(
        [layers.Dense(7, name="widen"), layers.Dense(6, name="narrow"), layers.Dropout(0.1)],
        name="mlp",
    )
    shared = layers.Dense(6, name="shared")
    x = shared(mlp(shared(x)))
    return keras.Model(tokens, {"semantic_logits": layers.Dense(3, name="logits")(x)})


def test_each_weight_of_nested_layers_has_a_name():
    network = nested_network()
    named = named_weights(network)
    assert len(named) == len(network.weights) == 8 + 4 + 2 + 2
    assert {"attention/query/kernel", "mlp/widen/kernel", "shared/kernel"} <= set(named)


def test_saved_nested_weights_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    network = nested_network()
    save_bundle(network, tiny_card(), tmp_path / "nested.zip")
    fresh = nested_network()
    family = type("Nested", (), {"build": staticmethod(lambda _: fresh)})
    monkeypatch.setattr(load, "family_of", lambda _: family)
    tokens = np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float32)
    wanted = network(tokens)["semantic_logits"]
    assert not np.array_equal(fresh(tokens)["semantic_logits"], wanted)
    loaded = load_bundle(tmp_path / "nested.zip").network
    np.testing.assert_array_equal(loaded(tokens)["semantic_logits"], wanted)


def test_two_weights_of_one_name_are_refused(tmp_path: Path):
    x = keras.Input((4,))
    first, second = (keras.Sequential([layers.Dense(4, name="dense")], name="mlp") for _ in "ab")

    @keras.saving.register_keras_serializable(package="tests")
    class Pair(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="pair")
            self.first, self.second = first, second

        def call(self, x):
            return self.second(self.first(x))

    network = keras.Model(x, Pair()(x))
    with pytest.raises(ConfigError, match="name of a weight must be that of no other weight, but"):
        save_bundle(network, tiny_card(), tmp_path / "pair.zip")
    assert not (tmp_path / "pair.zip").exists()
