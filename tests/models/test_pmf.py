"""The pMF network and its converter, against the published network written out by hand."""

import math
import pickle

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoConfig, AutoModel

from rosetta.errors import ModelError
from rosetta.models.pmf import convert
from rosetta.models.pmf.config import PmfConfig
from rosetta.models.pmf.convert import convert_pmf, published_names
from rosetta.models.pmf.model import PmfModel

D, HEADS, LAYERS, PATCH, SIDE, WIDTH = 16, 2, 10, 4, 3, 24
GIVEN = {
    "hidden_size": D,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "bottleneck": 5,
    "guidance": 7.5,
    "guidance_interval": (0.1, 0.8),
    "noise_scale": 2.0,
}
COMMON = {
    "image_size": SIDE * PATCH,
    "patch_size": PATCH,
    "n_classes": 6,
    "n_class_tokens": 3,
    "n_guidance_tokens": 2,
    "n_interval_tokens": 1,
    "n_time_tokens": 2,
}
GROUPS = {"class": 3, "omega": 2, "t_min": 1, "t_max": 1, "time": 2}
N_TOKENS = 9 + SIDE**2
LINEAR = {
    **{f"attn.{name}_proj": (D, D) for name in ("q", "k", "v", "out")},
    "mlp.w1": (WIDTH, D),
    "mlp.w3": (WIDTH, D),
    "mlp.w2": (D, WIDTH),
}
BLOCK = {
    **{f"{name}._flax_linear.weight": shape for name, shape in LINEAR.items()},
    **dict.fromkeys(("norm1.weight", "norm2.weight", "attn_scale", "mlp_scale"), (D,)),
    **dict.fromkeys(("attn.q_norm.weight", "attn.k_norm.weight"), (D // HEADS,)),
}


def published(seed=0):
    """A random checkpoint with the names and shapes of the published ones."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape):
        return 0.4 * torch.randn(shape, generator=generator)

    state = {
        "net.x_embedder.proj1.weight": drawn(5, 3, PATCH, PATCH),
        "net.x_embedder.proj1.bias": drawn(5),
        "net.x_embedder.proj2.weight": drawn(D, 5, 1, 1),
        "net.x_embedder.proj2.bias": drawn(D),
        "net.y_embedder.embedding_table._flax_embedding.weight": drawn(7, D),
        "net.pos_embed": drawn(1, N_TOKENS, D),
        "net.rope_freqs": torch.ones(SIDE**2, D // HEADS // 2, dtype=torch.complex64),
    }
    for name in ("h", "omega", "cfg_t_start", "cfg_t_end"):
        for number, n_in in ((0, 256), (2, D)):
            base = f"net.{name}_embedder.mlp.{number}._flax_linear"
            state |= {f"{base}.weight": drawn(D, n_in), f"{base}.bias": drawn(D)}
    state |= {f"net.{name}_tokens": drawn(1, n, D) for name, n in GROUPS.items()}
    for part, n in (("shared_blocks", LAYERS - 8), ("u_heads", 8), ("v_heads", 8)):
        state |= {
            f"net.{part}.{layer}.{name}": drawn(*shape)
            for layer in range(n)
            for name, shape in BLOCK.items()
        }
    for name in ("u_final_layer", "v_final_layer"):
        state[f"net.{name}.norm.weight"] = drawn(D)
        state[f"net.{name}.linear._flax_linear.weight"] = drawn(3 * PATCH**2, D)
        state[f"net.{name}.linear._flax_linear.bias"] = drawn(3 * PATCH**2)
    return state


class Reference:
    """The published network in float64, written out from a checkpoint of its names."""

    def __init__(self, state):
        self.state = {name: weight.double() for name, weight in state.items() if "rope" not in name}

    def linear(self, name, x):
        bias = self.state.get(f"net.{name}._flax_linear.bias", 0.0)
        return x @ self.state[f"net.{name}._flax_linear.weight"].T + bias

    def norm(self, name, x):
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * self.state[f"net.{name}"]

    def number(self, name, value):
        frequencies = torch.tensor([10_000 ** (-i / 128) for i in range(128)]).double()
        waves = torch.cat([(value * frequencies).cos(), (value * frequencies).sin()])
        return self.linear(f"{name}.mlp.2", functional.silu(self.linear(f"{name}.mlp.0", waves)))

    def turned(self, x):
        """x (n_tokens, d_head): pairs as complex numbers, turned by the place of their patch."""
        pairs = torch.view_as_complex(x.reshape(len(x), -1, 2).contiguous()).clone()
        n_each = pairs.shape[1] // 2
        for token in range(9, N_TOKENS):
            row, column = divmod(token - 9, SIDE)
            for i in range(n_each):
                speed = 10_000 ** (-i / n_each)
                pairs[token, i] *= complex(math.cos(row * speed), math.sin(row * speed))
                pairs[token, n_each + i] *= complex(
                    math.cos(column * speed), math.sin(column * speed)
                )
        return torch.view_as_real(pairs).flatten(1)

    def attention(self, name, x):
        heads = []
        for head in range(HEADS):
            part = slice(head * D // HEADS, (head + 1) * D // HEADS)
            q, k, v = (self.linear(f"{name}.{p}_proj", x)[:, part] for p in "qkv")
            q = self.turned(self.norm(f"{name}.q_norm.weight", q))
            k = self.turned(self.norm(f"{name}.k_norm.weight", k))
            heads.append((q @ k.T / math.sqrt(D // HEADS)).softmax(-1) @ v)
        return self.linear(f"{name}.out_proj", torch.cat(heads, dim=1))

    def image(self, noisy, duration, label):
        """x̂ of one image (3, S, S); the neurons of each layer at all tokens are kept."""
        table = self.state["net.y_embedder.embedding_table._flax_embedding.weight"]
        conditions = {
            "class": table[label],
            "omega": self.number("omega_embedder", 1 - 1 / 7.5),
            "t_min": self.number("cfg_t_start_embedder", 0.1),
            "t_max": self.number("cfg_t_end_embedder", 0.8),
            "time": self.number("h_embedder", duration),
        }
        prefix = [self.state[f"net.{name}_tokens"][0] + one for name, one in conditions.items()]
        x = noisy[None]
        for name, stride in (("proj1", PATCH), ("proj2", 1)):
            base = f"net.x_embedder.{name}"
            x = functional.conv2d(
                x, self.state[f"{base}.weight"], self.state[f"{base}.bias"], stride
            )
        x = torch.cat([*prefix, x[0].flatten(1).T]) + self.state["net.pos_embed"][0]
        self.neurons = []
        names = [f"shared_blocks.{i}" for i in range(LAYERS - 8)] + [
            f"u_heads.{i}" for i in range(8)
        ]
        for name in names:
            normed = self.norm(f"{name}.norm1.weight", x)
            x = x + self.attention(f"{name}.attn", normed) * self.state[f"net.{name}.attn_scale"]
            normed = self.norm(f"{name}.norm2.weight", x)
            gate, up = (self.linear(f"{name}.mlp.{w}", normed) for w in ("w1", "w3"))
            self.neurons.append(functional.silu(gate) * up)
            added = self.linear(f"{name}.mlp.w2", self.neurons[-1])
            x = x + added * self.state[f"net.{name}.mlp_scale"]
        patches = self.linear("u_final_layer.linear", self.norm("u_final_layer.norm.weight", x[9:]))
        image = torch.empty(3, SIDE * PATCH, SIDE * PATCH).double()
        for cell, patch in enumerate(patches):
            row, column = (PATCH * place for place in divmod(cell, SIDE))
            tile = patch.reshape(PATCH, PATCH, 3).permute(2, 0, 1)
            image[:, row : row + PATCH, column : column + PATCH] = tile
        return image


@pytest.fixture
def tiny_size(monkeypatch):
    monkeypatch.setattr(convert, "SIZES", {"B": GIVEN})
    monkeypatch.setattr(convert, "COMMON", COMMON)


def saved(tmp_path, state):
    torch.save(state, tmp_path / "pMF.pt")
    return tmp_path / "pMF.pt"


@pytest.mark.usefixtures("tiny_size")
def test_a_converted_checkpoint_computes_what_the_published_network_does(tmp_path):
    state = published()
    convert_pmf(saved(tmp_path, state), tmp_path / "out", "B")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "config.json",
        "model.safetensors",
    }
    model = AutoModel.from_pretrained(tmp_path / "out", dtype="float64").eval()
    assert isinstance(model, PmfModel)
    assert model.config.intermediate_size == WIDTH
    noise, labels = torch.randn(2, 3, 12, 12).double(), torch.tensor([4, 1])
    durations = torch.tensor([0.3, 1.0]).double()
    neurons = []
    hooks = [
        block.mlp.w2.register_forward_pre_hook(lambda _, inputs: neurons.append(inputs[0]))
        for block in model.blocks
    ]
    with torch.no_grad():
        found = model(noise, durations, labels)
    for hook in hooks:
        hook.remove()
    reference = Reference(state)
    for i in range(2):
        wanted = reference.image(noise[i], float(durations[i]), int(labels[i]))
        torch.testing.assert_close(found[i], wanted, rtol=1e-5, atol=1e-6)
        for layer, values in enumerate(reference.neurons):
            torch.testing.assert_close(neurons[layer][i], values, rtol=1e-4, atol=1e-5)
    scaled = 2.0 * noise  # one step from t = 1 gives x̂ itself
    torch.testing.assert_close(
        model.sample(noise, labels), model(scaled, torch.ones(2).double(), labels).detach()
    )


@pytest.mark.usefixtures("tiny_size")
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: s.pop("net.u_heads.7.mlp.w3._flax_linear.weight"), "lacks net.u_heads.7.mlp.w3"),
        (lambda s: s.pop("net.shared_blocks.0.mlp.w1._flax_linear.weight"), "shared_blocks.0"),
        (lambda s: s.update({"net.u_heads.8.norm1.weight": torch.ones(D)}), "u_heads.8.norm1"),
        (lambda s: s.update({"net.pos_embed": torch.ones(1, 20, D)}), r"net.pos_embed \(1, 20"),
        (lambda s: s.update({"optimizer": {"rate": 1}}), "no dictionary of named tensors"),
    ],
)
def test_a_checkpoint_that_does_not_match_is_rejected_by_name(tmp_path, spoil, said):
    state = published()
    spoil(state)
    with pytest.raises(ModelError, match=said):
        convert_pmf(saved(tmp_path, state), tmp_path / "out", "B")
    assert not (tmp_path / "out").exists()


def test_code_in_a_checkpoint_is_never_run(tmp_path):
    (tmp_path / "pMF.pt").write_bytes(pickle.dumps(Planted(tmp_path / "ran")))
    with pytest.raises(ModelError, match="no checkpoint of tensors"):
        convert_pmf(tmp_path / "pMF.pt", tmp_path / "out", "B")
    with pytest.raises(ModelError, match="no checkpoint of tensors"):
        convert_pmf(tmp_path / "missing.pt", tmp_path / "out", "B")
    assert not (tmp_path / "ran").exists()


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


@pytest.mark.parametrize(
    ("size", "d_mlp", "n_neurons", "n_millions"),
    [("B", 2048, 32_768, 118), ("L", 2730, 87_360, 410), ("H", 3416, 163_968, 956)],
)
def test_the_published_sizes(size, d_mlp, n_neurons, n_millions):
    config = PmfConfig(**convert.COMMON, **convert.SIZES[size], intermediate_size=d_mlp)
    with torch.device("meta"):
        model = PmfModel(config)
    assert config.n_prefix == 20
    assert config.grid == (16, 16)
    assert config.num_hidden_layers * config.intermediate_size == n_neurons
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == n_millions
    names = dict(published_names(model))
    assert names["pos_embed"] == "net.pos_embed"
    assert names["x_embedder.proj2.bias"] == "net.x_embedder.proj2.bias"
    last = f"blocks.{config.num_hidden_layers - 1}.attn.q_norm.weight"
    assert names[last] == "net.u_heads.7.attn.q_norm.weight"


def test_an_untrained_model_makes_one_grey_image_whatever_the_noise():
    torch.manual_seed(0)
    model = PmfModel(PmfConfig()).eval()
    images = model.sample(torch.randn(2, 3, 32, 32), torch.tensor([0, 3]))
    assert not images.any()


def test_a_saved_model_comes_back_as_it_was(tmp_path):
    torch.manual_seed(0)
    model = PmfModel(PmfConfig(n_steps=2, guidance_interval=(0.1, 0.4)))
    model.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).guidance_interval == (0.1, 0.4)
    assert "omega_tokens" not in load_file(tmp_path / "model.safetensors")
    again = AutoModel.from_pretrained(tmp_path)
    for name, weight in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


@pytest.mark.parametrize(("average", "told"), [(True, 0.5), (False, 0.0)])
def test_several_steps_follow_the_velocity(average, told):
    torch.manual_seed(0)
    model = PmfModel(PmfConfig(n_steps=2, average=average)).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    noise, labels, h = torch.randn(3, 3, 32, 32), torch.tensor([0, 1, 2]), torch.full((3,), told)
    with torch.no_grad():
        middle = noise - 0.5 * (noise - model(noise, h, labels))
        wanted = middle - 0.5 * (middle - model(middle, h, labels)) / 0.5
    torch.testing.assert_close(model.sample(noise, labels), wanted)


@pytest.mark.parametrize(
    "sizes",
    [{"patch_size": 5}, {"num_attention_heads": 3}, {"n_time_tokens": 0}, {"n_steps": 0}],
)
def test_sizes_that_do_not_go_together_are_rejected(sizes):
    (name,) = sizes
    with pytest.raises(ModelError, match=name):
        PmfConfig(**sizes)
