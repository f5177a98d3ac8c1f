"""The section `zoo`: recipes of small models that are trained here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rosetta.config.base import Modality, Name, Section, Seed

MIXTURES = ("qwen2_moe",)  # of the architectures below, those that need `ZooSize.experts`
TextArchitecture = Literal[
    "gpt_neox", "gpt2", "opt", "qwen2", "llama", "mistral", "gemma", "qwen2_moe"
]
ImageArchitecture = Literal["pmf", "vit", "dinov2_with_registers", "vit_mae", "clip"]
# What a model of images learns: to draw an image of a class, to tell its class, to fill in what is
# hidden of it, or to find its caption.
ImageTask = Literal["generator", "classifier", "autoencoder", "contrastive"]
IMAGE_TASKS: dict[str, ImageTask] = {
    "pmf": "generator",
    "vit": "classifier",
    "dinov2_with_registers": "classifier",
    "vit_mae": "autoencoder",
    "clip": "contrastive",
}
WITH_REGISTERS = "dinov2_with_registers"  # whose MLP may also be gated


class ZooImage(Section):
    """What the models of a vision family see of an image."""

    image_size: int = Field(
        32, ge=8, le=4096, description="side of the input in pixels; images are resized to it"
    )
    patch_size: int = Field(
        4, ge=2, le=512, description="side of a patch in pixels; each patch is one cell of the grid"
    )
    n_registers: int = Field(
        0, ge=0, le=64, description="register tokens beside the patches; `dinov2_with_registers`"
    )
    gated: bool = Field(
        False, description="whether the MLP is a SwiGLU; `dinov2_with_registers` (`pmf` always is)"
    )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return (self.image_size // self.patch_size,) * 2

    @model_validator(mode="after")
    def _patches_fit(self) -> ZooImage:
        if self.image_size % self.patch_size or self.image_size == self.patch_size:
            raise ValueError(
                f"image_size {self.image_size} must be a multiple of patch_size {self.patch_size}, "
                "twice it at least"
            )
        return self


class ZooFamily(Section):
    """One family of small models trained here: an architecture with its own data order and seed;
    of language models, with its own tokenizer too.
    """

    architecture: Literal[TextArchitecture, ImageArchitecture] = Field(
        description="`model_type` of the transformers configuration"
    )
    vocab_size: int = Field(
        1024,
        ge=260,
        le=1_000_000,
        description="size of the byte-level BPE vocabulary; of language models only",
    )
    seed: Seed = Field(
        description="of the tokenizer's sample, and of trainings that have no seed of their own"
    )
    image: ZooImage | None = Field(
        None, description="required of vision families; language families do without"
    )

    @property
    def modality(self) -> Modality:
        """What models of the family see."""
        return "images" if self.architecture in IMAGE_TASKS else "text"

    @property
    def task(self) -> ImageTask:
        """What models of a vision family learn."""
        return IMAGE_TASKS[self.architecture]

    @model_validator(mode="after")
    def _image_fits(self) -> ZooFamily:
        if self.modality == "text":
            if self.image is not None:
                raise ValueError(
                    f"image: {self.architecture} is a language model; leave the key out, or take "
                    f"one of {', '.join(IMAGE_TASKS)}"
                )
            return self
        if self.image is None:
            raise ValueError(
                f"{self.architecture} sees images; give image: {{image_size, patch_size}}"
            )
        # A configuration that is written out in full has the default here.
        if self.vocab_size != type(self).model_fields["vocab_size"].default:
            raise ValueError(f"vocab_size: {self.architecture} has no tokenizer; leave the key out")
        if self.architecture != WITH_REGISTERS and (self.image.n_registers or self.image.gated):
            raise ValueError(
                f"image: {self.architecture} takes neither n_registers nor gated; leave both out, "
                f"or take {WITH_REGISTERS}"
            )
        return self


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

    def mlp_ratio(self, gated: bool) -> int | None:
        """Return the `mlp_ratio` with which DINOv2 has `d_mlp` neurons per layer, or None.

        Its configuration gives the width as a whole multiple of d_model; a gated MLP has two
        thirds of that, rounded up to a multiple of 8.
        """
        for ratio in range(1, 2 * self.d_mlp // self.d_model + 2):
            width = ratio * self.d_model
            if (-(-(width * 2 // 3) // 8) * 8 if gated else width) == self.d_mlp:
                return ratio
        return None

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


class ZooOptimization(Section):
    """What the trainings of all zoo models have in common: rates, device, checkpoints."""

    learning_rate: float = Field(
        0.06,
        gt=0,
        le=1000,
        description="peak of AdamW's, for embeddings, heads, norms and biases; linear warm-up, "
        "then linearly to zero",
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


class ZooTraining(ZooOptimization):
    """How zoo models are trained: matrices of layers by Muon, all other weights by AdamW."""

    steps: int = Field(450, ge=1, le=10_000_000)
    batch_size: int = Field(8, ge=1, le=100_000, description="sequences per step")
    sequence_length: int = Field(
        128, ge=8, le=1_000_000, description="tokens per sequence; also the models' context"
    )
    tokenizer_bytes: int = Field(
        2_000_000, ge=10_000, le=10**11, description="training text sampled for each tokenizer"
    )


class ZooImageSteps(Section):
    """Steps of a training, by what the model learns."""

    generator: int = Field(300, ge=1, le=10_000_000)
    classifier: int = Field(250, ge=1, le=10_000_000)
    autoencoder: int = Field(400, ge=1, le=10_000_000)
    contrastive: int = Field(250, ge=1, le=10_000_000)


class ZooImageTraining(ZooOptimization):
    """How zoo models of images are trained: as those of text, on images in a seeded order."""

    steps: ZooImageSteps = ZooImageSteps()
    batch_size: int = Field(32, ge=2, le=100_000, description="images per step")
    learning_rate: float = Field(
        0.003,
        gt=0,
        le=1000,
        description="peak of AdamW's, for patch and position embeddings, heads, norms and biases; "
        "linear warm-up, then linearly to zero",
    )


class Zoo(Section):
    """Recipes of models trained here."""

    families: dict[Name, ZooFamily] = Field({}, description="families by name")
    sizes: dict[Name, ZooSize] = Field({}, description="dimensions by name")
    training: ZooTraining = ZooTraining()
    image_training: ZooImageTraining = ZooImageTraining()


class ZooRecipe(Section):
    """A family at a size, and the seed of one of its trainings."""

    family: str
    size: str
    seed: Seed | None = Field(
        None,
        description="seed of the initialisation and the data order; null: the family's. Models of "
        "a family share its tokenizer whatever their seeds",
    )
