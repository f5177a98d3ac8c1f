"""The MeanFlow loss: its forward derivative, flow matching at r = t, and fields known in full."""

from types import SimpleNamespace

import pytest
import torch

from rosetta.models.pmf.config import PmfConfig
from rosetta.models.pmf.model import PmfModel
from rosetta.models.zoo.meanflow_loss import (
    FlowTimes,
    mean_flow_errors,
    mean_flow_loss,
    velocity_change,
    weighted,
)

SIZES = {
    "image_size": 8,
    "n_classes": 3,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}


def tiny(**sizes):
    torch.manual_seed(0)
    model = PmfModel(PmfConfig(**{**SIZES, **sizes})).double()
    for parameter in model.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return model


def seeded(seed=5):
    return torch.Generator().manual_seed(seed)


def shown(n=6):
    generator = seeded(1)
    images = torch.rand(n, 3, 8, 8, generator=generator).double() * 2 - 1
    return images, torch.arange(n) % 3


def by_hand(images, share_equal, noise_scale=1.0):
    """The draws of a loss: z_t, v, t, r."""
    generator = seeded()
    t, r = FlowTimes(share_equal=share_equal).draw(len(images), generator)
    noise = torch.randn(images.shape, generator=generator).double() * noise_scale
    t, r = t.double(), r.double()
    share = t[:, None, None, None]
    return (1 - share) * images + share * noise, noise - images, t, r


def test_times_are_ordered_logit_normal_and_equal_for_a_share_of_the_batch():
    t, r = FlowTimes(mean=0.5, spread=2.0, share_equal=0.25).draw(20_000, seeded())
    assert (r <= t).all()
    assert (r < t)[:15_000].all()
    assert torch.equal(r[15_000:], t[15_000:])
    normal = torch.cat([t[:15_000], r[:15_000]]).logit()
    assert float(normal.mean()) == pytest.approx(0.5, abs=0.05)
    assert float(normal.std()) == pytest.approx(2.0, abs=0.05)


def test_the_derivative_along_the_path_is_that_of_finite_differences():
    model = tiny()
    images, labels = shown()
    noisy, direct, t, r = by_hand(images, 0.0)
    found = velocity_change(model, noisy, direct, t, r, labels)
    step = 1e-5
    with torch.no_grad():
        after, before = (
            model.velocity(noisy + way * direct, t + way, t + way - r, labels)
            for way in (step, -step)
        )
    torch.testing.assert_close(found, (after - before) / (2 * step), rtol=1e-6, atol=1e-6)
    assert found.abs().mean() > 0.1


@pytest.mark.parametrize("noise_scale", [1.0, 2.0])
def test_errors_and_gradients_are_those_of_the_formula(noise_scale):
    model = tiny(noise_scale=noise_scale)
    images, labels = shown()
    noisy, direct, t, r = by_hand(images, 0.5, noise_scale)
    change = velocity_change(model, noisy, direct, t, r, labels)
    predicted = model(noisy, t - r, labels)
    wanted = torch.stack(
        [
            ((noisy[i] - predicted[i]) / t[i] + (t[i] - r[i]) * change[i] - direct[i]).pow(2).sum()
            for i in range(6)
        ]
    )
    found = mean_flow_errors(model, images, labels, seeded(), FlowTimes(share_equal=0.5))
    torch.testing.assert_close(found, wanted)
    weights = model.blocks[0].mlp.w2.weight
    (expected,) = torch.autograd.grad((wanted / (wanted.detach() + 0.01)).mean(), weights)
    loss = mean_flow_loss(model, images, labels, seeded(), FlowTimes(share_equal=0.5))
    (gradient,) = torch.autograd.grad(loss, weights)
    torch.testing.assert_close(gradient, expected)


def test_with_equal_times_it_is_flow_matching():
    model = tiny()
    images, labels = shown()
    noisy, direct, t, r = by_hand(images, 1.0)
    assert torch.equal(t, r)
    predicted = model(noisy, torch.zeros(6).double(), labels)
    velocity = (noisy - predicted) / t[:, None, None, None]
    wanted = (velocity - direct).square().sum((1, 2, 3))
    found = mean_flow_errors(model, images, labels, seeded(), FlowTimes(share_equal=1.0))
    torch.testing.assert_close(found, wanted)


def test_each_image_weighs_alike():
    errors = torch.tensor([0.5, 400.0], requires_grad=True)
    loss = weighted(errors)
    loss.backward()
    assert float(loss.detach()) == pytest.approx((0.5 / 0.51 + 400 / 400.01) / 2)
    assert errors.grad.tolist() == pytest.approx([0.5 / 0.51, 0.5 / 400.01])


class Field:
    """A field of known velocity, in the place of a model; `scale` is its only parameter."""

    config = SimpleNamespace(noise_scale=1.0)

    def __init__(self, velocity, scale=1.0):
        self.field = velocity
        self.scale = torch.tensor(scale, dtype=torch.float64, requires_grad=True)

    def velocity(self, noisy, t, duration, labels):
        t, duration = t[:, None, None, None], duration[:, None, None, None]
        return self.scale * self.field(noisy, t, duration)


def test_the_field_of_a_single_image_has_no_error():
    """All paths to one image x are straight, so u = (z − x) / t between any two times."""
    image = torch.linspace(-1, 1, 48).double().view(3, 4, 4)
    images, labels = image.expand(64, 3, 4, 4), torch.zeros(64, dtype=torch.long)
    field = Field(lambda noisy, t, duration: (noisy - image) / t)
    assert mean_flow_errors(field, images, labels, seeded()).max() < 1e-20
    off = Field(lambda noisy, t, duration: (noisy - 0.9 * image) / t)
    assert mean_flow_errors(off, images, labels, seeded()).min() > 0.01


SPREAD = 0.5


def sigma(t):
    return ((1 - t) ** 2 * SPREAD**2 + t**2) ** 0.5


def of_normal_pixels(noisy, t, duration):
    """Average velocity where pixels are normal with standard deviation SPREAD.

    z_t is then normal with σ_t, and flows along z_r = z_t σ_r / σ_t.
    """
    small = duration < 1e-9
    span = torch.where(small, torch.ones_like(duration), duration)
    slope = (t - (1 - t) * SPREAD**2) / sigma(t) ** 2
    return noisy * torch.where(small, slope, (1 - sigma(t - span) / sigma(t)) / span)


@pytest.mark.parametrize(("scale", "sign"), [(0.8, -1), (1.0, 0), (1.25, 1)])
def test_the_true_field_of_normal_pixels_is_where_the_gradient_vanishes(scale, sign):
    n = 40_000
    images = SPREAD * torch.randn(n, 3, 2, 2, generator=seeded(2)).double()
    field = Field(of_normal_pixels, scale)
    errors = mean_flow_errors(field, images, torch.zeros(len(images), dtype=torch.long), seeded(3))
    (gradient,) = torch.autograd.grad(errors.mean(), field.scale)
    if sign:
        assert float(gradient) * sign > 1.0
    else:
        assert abs(float(gradient)) < 0.1
