"""Vectors of images, against the last hidden states of each architecture."""

import numpy as np
import pytest
import torch
from tiny_image_architectures import VARIANTS, noise_images, prefix_of, saved, tiny_image_model

from rosetta.models.image_embeddings import embed_images
from rosetta.models.image_models import load_image_model


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_vector_is_the_mean_over_the_patches(variant, tmp_path):
    model = load_image_model(saved(tmp_path, tiny_image_model(variant)))
    images = noise_images(5)
    with torch.no_grad():
        whole = model.module(**model.arguments(torch.from_numpy(images))).last_hidden_state
    assert whole.shape[1] == prefix_of(variant) + 16
    expected = whole.double().numpy()[:, prefix_of(variant) :].mean(axis=1)
    found = embed_images(model, [images[:3], images[3:]])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_tokens_before_the_patches_do_not_count(tmp_path):
    model = load_image_model(saved(tmp_path, tiny_image_model("dinov2_with_registers")))
    images = noise_images(2)
    before = embed_images(model, [images])

    def spoil(_module, _inputs, output):
        output.last_hidden_state[:, : model.n_prefix] = torch.nan

    hook = model.module.register_forward_hook(spoil)
    np.testing.assert_array_equal(embed_images(model, [images]), before)
    hook.remove()
