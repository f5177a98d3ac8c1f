"""Losses and measures of models of images, against NumPy in float64 and planted answers."""

import numpy as np
import pytest
import torch
from labelled_images import IMAGES, quarters, started
from torch import nn

from rosetta.models.zoo.images import quality
from rosetta.models.zoo.images.captions import CaptionVocabulary
from rosetta.models.zoo.images.labelled_images import LabelledImages, input_pixels
from rosetta.models.zoo.images.losses import (
    autoencoder_loss,
    classifier_loss,
    contrastive_loss,
    generator_loss,
)
from rosetta.models.zoo.images.quality import generated_quality, heldout_quality
from rosetta.models.zoo.meanflow_loss import mean_flow_errors

PIXELS = input_pixels(torch.from_numpy(IMAGES.pixels[:6]), 16)
VOCABULARY = CaptionVocabulary.of(IMAGES.captions)


def log_softmax(values):
    values = values - values.max(-1, keepdims=True)
    return values - np.log(np.exp(values).sum(-1, keepdims=True))


def numbers(tensor):
    return tensor.detach().double().numpy()


def test_a_classifiers_loss_is_the_cross_entropy():
    torch.manual_seed(0)
    model, labels = started("registers"), torch.tensor([0, 1, 2, 3, 3, 0])
    nn.init.normal_(model.classifier.bias)
    shares = log_softmax(numbers(model(pixel_values=PIXELS).logits))
    expected = -np.mean(shares[np.arange(6), labels.numpy()])
    assert classifier_loss(model, PIXELS, labels).item() == pytest.approx(expected, rel=1e-6)


def test_a_generators_loss_weighs_images_alike_and_tells_the_error_of_a_value():
    model, labels = started("pmf"), torch.tensor([0, 1, 2, 3, 3, 0])
    errors = []
    for _ in range(2):
        torch.manual_seed(7)
        errors.append(mean_flow_errors(model, PIXELS, labels, torch.default_generator))
    torch.testing.assert_close(*errors, msg="torch's seed gives times and noise")
    torch.manual_seed(7)
    loss, told = generator_loss(model, PIXELS, labels)
    own = numbers(errors[0])
    assert told == pytest.approx(own.mean() / (3 * 16 * 16), rel=1e-5)
    assert loss.item() == pytest.approx(np.mean(own / (own + 0.01)), rel=1e-5)


def patches_of(pixels, side):
    """Patches of an image (3, S, S), row by row; within a patch rows, columns, colours."""
    n = pixels.shape[1] // side
    return np.stack(
        [
            pixels[:, side * r : side * (r + 1), side * c : side * (c + 1)]
            .transpose(1, 2, 0)
            .ravel()
            for r in range(n)
            for c in range(n)
        ]
    )


def normalised(patches):
    mean, var = patches.mean(-1, keepdims=True), patches.var(-1, ddof=1, keepdims=True)
    return (patches - mean) / np.sqrt(var + 1e-6)


def hidden_patches(noise):
    """Of 16 patches, the 12 of the largest noise."""
    return [sorted(range(16), key=lambda one: row[one])[4:] for row in noise]


def test_an_autoencoders_loss_is_that_of_the_hidden_patches():
    torch.manual_seed(0)
    model = started("vit_mae")
    noise = torch.rand(6, 16)
    predicted = numbers(model(pixel_values=PIXELS, noise=noise).logits)
    errors = []
    for image, told, hidden in zip(
        numbers(PIXELS), predicted, hidden_patches(noise.tolist()), strict=True
    ):
        target = normalised(patches_of(image, 4))
        errors += [np.mean((told[one] - target[one]) ** 2) for one in hidden]
    assert len(errors) == 6 * 12
    found = autoencoder_loss(model, PIXELS, noise).item()
    assert found == pytest.approx(np.mean(errors), rel=1e-5)


def test_an_autoencoders_chance_is_the_prediction_of_the_mean():
    model = started("vit_mae").eval()
    nn.init.zeros_(model.decoder.decoder_pred.weight)
    found = heldout_quality(model, IMAGES, VOCABULARY)
    assert found["heldout_loss"] == pytest.approx(found["chance_loss"], rel=1e-5)
    assert found["chance_loss"] == pytest.approx(47 / 48, rel=1e-4), "of unbiased variances"
    flat = LabelledImages(np.full_like(IMAGES.pixels, 9), IMAGES.labels, IMAGES.captions, 4)
    assert heldout_quality(model, flat, VOCABULARY)["chance_loss"] == pytest.approx(0, abs=1e-6)


def test_a_contrastive_loss_leaves_equal_captions_out():
    torch.manual_seed(0)
    model = started("clip")
    pixels = input_pixels(torch.from_numpy(IMAGES.pixels[:6]), 12)
    captions = [IMAGES.captions[i] for i in (0, 1, 2, 0, 3, 0)]
    token_ids = VOCABULARY.ids(captions)
    logits = numbers(model(input_ids=token_ids, pixel_values=pixels).logits_per_image)
    costs = []
    for table in (logits, logits.T):
        for i, row in enumerate(table):
            others = [j for j in range(6) if j != i and captions[j] != captions[i]]
            costs.append(-row[i] + np.log(np.exp(row[[i, *others]]).sum()))
    found = contrastive_loss(model, pixels, token_ids)
    assert found.item() == pytest.approx(np.mean(costs), rel=1e-5)
    found.backward()
    assert torch.isfinite(model.visual_projection.weight.grad).all()


def test_images_of_one_caption_alone_cost_nothing():
    model, token_ids = started("clip"), VOCABULARY.ids([IMAGES.captions[0]] * 3)
    pixels = input_pixels(torch.from_numpy(IMAGES.pixels[:3]), 12)
    assert contrastive_loss(model, pixels, token_ids).item() == pytest.approx(0, abs=1e-6)


class Oracle(nn.Module):
    """Tells the bright quarter, but takes the first `n_wrong` images of a call for the next one."""

    def __init__(self, n_wrong):
        super().__init__()
        self.config, self.n_wrong = started("vit").config, n_wrong

    @property
    def base_model(self):
        return lambda pixel_values: type(
            "Out", (), {"last_hidden_state": self.hidden(pixel_values)}
        )

    @staticmethod
    def hidden(pixels):
        """Brightness of quarters, of two tokens alike."""
        quarters = pixels.mean(1).unflatten(1, (2, 8)).unflatten(3, (2, 8)).mean((2, 4)).flatten(1)
        return quarters[:, None].expand(-1, 2, -1)

    def forward(self, pixel_values):
        found = self.hidden(pixel_values)[:, 0].argmax(-1)
        found[: self.n_wrong] = (found[: self.n_wrong] + 1) % 4
        return type("Out", (), {"logits": nn.functional.one_hot(found, 4)})


def test_a_classifiers_accuracy_is_the_share_of_right_answers(monkeypatch):
    monkeypatch.setattr(quality, "AT_A_TIME", 20)  # 48 images in 3 calls, the last not full
    found = heldout_quality(Oracle(2), IMAGES, VOCABULARY)
    assert found == {
        "heldout_images": 48.0,
        "heldout_accuracy": (48 - 3 * 2) / 48,
        "chance_accuracy": 0.25,
    }
    monkeypatch.setattr(quality, "MOST", 10)
    assert heldout_quality(Oracle(0), IMAGES, VOCABULARY)["heldout_images"] == 10


def test_retrieval_counts_equal_captions_as_right():
    model = started("clip").eval()
    found = heldout_quality(model, IMAGES, VOCABULARY)
    assert found["chance_retrieval"] == pytest.approx(0.25), "each caption stands 12 times"
    token_ids = VOCABULARY.ids(IMAGES.captions)
    pixels = input_pixels(torch.from_numpy(IMAGES.pixels), 12)
    with torch.no_grad():
        logits = model(input_ids=token_ids, pixel_values=pixels).logits_per_image
    right = [
        IMAGES.captions[int(one)] == own
        for one, own in zip(logits.argmax(-1), IMAGES.captions, strict=True)
    ]
    assert found["heldout_retrieval"] == pytest.approx(np.mean(right))


def test_generated_images_are_recognised_by_a_classifier():
    real = quarters(40, 1)
    alike = generated_quality(Oracle(0), quarters(40, 2), real)
    assert alike["recognised"] == alike["recognised_of_real"] == 1.0
    assert alike["chance_recognised"] == 0.25
    assert alike["feature_distance"] < 0.01
    level = np.rint(real.pixels.mean((0, 1, 2))).mean() / 127.5 - 1
    of_real = numbers(Oracle.hidden(input_pixels(torch.from_numpy(real.pixels), 16))[:, 0])
    plain = np.sum((level - of_real.mean(0)) ** 2) / of_real.var(0, ddof=1).sum()
    assert alike["chance_distance"] == pytest.approx(plain, rel=1e-3, abs=1e-6)
    swapped = LabelledImages(real.pixels, (real.labels + 1) % 4, real.captions, 4)
    assert generated_quality(Oracle(0), swapped, real)["recognised"] == 0.0
    dark = LabelledImages(real.pixels // 2, real.labels, real.captions, 4)
    found = generated_quality(Oracle(0), dark, real)
    features = [
        numbers(Oracle.hidden(input_pixels(torch.from_numpy(one.pixels), 16))[:, 0])
        for one in (dark, real)
    ]
    distance = np.sum((features[0].mean(0) - features[1].mean(0)) ** 2)
    expected = distance / features[1].var(0, ddof=1).sum()
    assert found["feature_distance"] == pytest.approx(expected, rel=1e-4)
    assert found["recognised"] == 1.0
