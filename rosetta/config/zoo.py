"""The section `zoo`: recipes of small models that are trained here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rosetta.config.base import Name, Section, Seed

MIXTURES = ("qwen2_moe",)  # of the architectures below, those that need `ZooSize.experts`


class ZooFamily(Section):
    """One family of small models trained here: an architecture with its own tokenizer, data order
    and seed.
    """

    architecture: Literal[
        "gpt_neox", "gpt2", "opt", "qwen2", "llama", "mistral", "gemma", "qwen2_moe"
    ] = Field(description="`model_type` of the transformers configuration")
    vocab_size: int = Field(
        1024, ge=260, le=1_000_000, description="size of the byte-level BPE vocabulary"
    )
    seed: Seed = Field(
        description="of the tokenizer's sample, and of trainings that have no seed of their own"
    )


class ZooExperts(Section):
    """How a mixture of experts (`qwen2_moe`) shares out the neurons of a layer."""

    n_experts: int = Field(
        ge=2, le=10_000, description="experts per layer that tokens are routed to, of equal size"
    )
    per_token: int = Field(ge=1, le=10_000, description="experts that each token is routed to")
    d_shared: int = Field(
        ge=1, le=1_000_000, description="neurons of the shared expert, which every token passes"
    )


class ZooSize(Section):
    """Dimensions of a zoo model."""

    n_layers: int = Field(ge=1, le=1000)
    d_model: int = Field(ge=8, le=100_000)
    d_mlp: int = Field(
        ge=1,
        le=1_000_000,
        description="neurons per layer; of a mixture, those of all experts together",
    )
    n_heads: int = Field(ge=1, le=10_000)
    replicates: int = Field(
        1,
        ge=1,
        le=1000,
        description="trainings of every model of this size, each with a seed of its own; the "
        "first has the model's name, the others `~2`, `~3`, … after it",
    )
    experts: ZooExperts | None = Field(
        None,
        description="required of a mixture of experts; other architectures of the same size do "
        "without",
    )

    @property
    def n_neurons(self) -> int:
        """Total neuron count, the model size x of the scaling law."""
        return self.n_layers * self.d_mlp

    def n_parameters(self, vocab_size: int) -> int:
        """Return about how many parameters a model of this size has."""
        layers = self.n_layers * (4 * self.d_model**2 + 3 * self.d_model * self.d_mlp)
        return layers + 2 * vocab_size * self.d_model

    @model_validator(mode="after")
    def _heads_divide(self) -> ZooSize:
        if self.d_model % (2 * self.n_heads):
            raise ValueError(
                "d_model must be a multiple of 2 × n_heads (rotary embeddings need even heads)"
            )
        return self

    @model_validator(mode="after")
    def _experts_fit(self) -> ZooSize:
        if self.experts is None:
            return self
        wanted, rest = self.experts, self.d_mlp - self.experts.d_shared
        multiple = 4 * wanted.n_experts
        if wanted.per_token > wanted.n_experts:
            raise ValueError(
                f"experts.per_token {wanted.per_token} is above experts.n_experts "
                f"{wanted.n_experts}"
            )
        # The library multiplies all experts at once, in rows of 16 bytes.
        if rest <= 0 or rest % multiple or self.d_model % 4:
            raise ValueError(
                f"d_mlp − experts.d_shared ({rest}) must be a multiple of 4 × experts.n_experts "
                f"({multiple}), and "
                f"d_model ({self.d_model}) of 4"
            )
        return self


class ZooTraining(Section):
    """How zoo models are trained: matrices of layers by Muon, all other weights by AdamW."""

    steps: int = Field(450, ge=1, le=10_000_000)
    batch_size: int = Field(8, ge=1, le=100_000, description="sequences per step")
    sequence_length: int = Field(
        128, ge=8, le=1_000_000, description="tokens per sequence; also the models' context"
    )
    learning_rate: float = Field(
        0.06,
        gt=0,
        le=1000,
        description="peak of AdamW's, for embeddings, unembedding, norms and biases; linear "
        "warm-up, then linearly to zero",
    )
    matrix_learning_rate: float = Field(
        0.02,
        gt=0,
        le=1000,
        description="peak of Muon's, for the matrices of layers: about how much a step changes "
        "what a square matrix makes of an input of norm 1",
    )
    warmup_steps: int = Field(20, ge=0)
    weight_decay: float = Field(0.1, ge=0, description="times the rate, per step")
    device: Literal["cpu", "cuda", "auto"] = Field(
        "cpu",
        description="`auto`: a GPU where there is one. Weights differ between a processor and a "
        "GPU, so `auto` makes results depend on the machine",
    )
    checkpoint_every: int = Field(200, ge=1, description="steps between checkpoints to resume from")
    tokenizer_bytes: int = Field(
        2_000_000, ge=10_000, le=10**11, description="training text sampled for each tokenizer"
    )


class Zoo(Section):
    """Recipes of models trained here."""

    families: dict[Name, ZooFamily] = Field({}, description="families by name")
    sizes: dict[Name, ZooSize] = Field({}, description="dimensions by name")
    training: ZooTraining = ZooTraining()


class ZooRecipe(Section):
    """A family at a size, and the seed of one of its trainings."""

    family: str
    size: str
    seed: Seed | None = Field(
        None,
        description="seed of the initialisation and the data order; null: the family's. Models of "
        "a family share its tokenizer whatever their seeds",
    )
