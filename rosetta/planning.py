"""`rosetta plan`: what a configuration will cost, computed without running it.

Counts of jobs and shapes of models are exact. The number of positions is exact once the corpus is built, and an
estimate from the configuration before. Times are operations over the speed that this machine shows in a short
matrix product, so they are meant for orientation.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from rosetta.config import Config, EnvironmentSource, FilesSource, ModelEntry, Theory
from rosetta.correlation.plan import GB, correlation_flops, plan_tiles
from rosetta.errors import StoreError
from rosetta.files import read_manifest
from rosetta.models import loading
from rosetta.models.neurons import NeuronShape, neuron_shape
from rosetta.models.zoo import zoo_model_config
from rosetta.paths import Paths
from rosetta.theory.allocation import AllocationModel
from rosetta.theory.simulation import Cell, expected_cost

BYTES_PER_TOKEN = 3.0  # of mixed text and code under a byte-level BPE; for the estimate only
STORED_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
# What a job costs before it does anything: interpreter and libraries.
START_SECONDS = 5.0
# A training step or forward pass of a small model reaches about this share of a plain matrix product's speed.
MODEL_EFFICIENCY = 0.5
# In operations of a matrix product: a normal deviate, and what a simulation of any size costs (stores, correlation).
FLOPS_PER_DEVIATE = 1000.0
FLOPS_PER_SIMULATION = 3e10


@dataclass
class Phase:
    """Cost of one phase of a run."""

    name: str
    jobs: int
    flops: float = 0.0
    disk_bytes: float = 0.0
    peak_bytes: float = 0.0
    efficiency: float = 1.0

    def seconds(self, flops_per_second: float, cores: int) -> float:
        """Return the estimated wall-clock time with all cores busy."""
        return self.jobs * START_SECONDS / cores + self.flops / (flops_per_second * cores * self.efficiency)


@dataclass
class RunPlan:
    """Cost of a whole run."""

    phases: list[Phase] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    flops_per_second: float = 1.0
    cores: int = 1

    def render(self) -> str:
        """Return the plan as text for a terminal."""
        lines = [f"{'phase':<14}{'jobs':>6}{'FLOPs':>12}{'disk GB':>10}{'memory GB':>11}{'minutes':>10}"]
        for phase in self.phases:
            minutes = phase.seconds(self.flops_per_second, self.cores) / 60
            lines.append(
                f"{phase.name:<14}{phase.jobs:>6}{phase.flops:>12.2e}{phase.disk_bytes / GB:>10.2f}"
                f"{phase.peak_bytes / GB:>11.1f}{minutes:>10.1f}"
            )
        total = sum(phase.seconds(self.flops_per_second, self.cores) for phase in self.phases) / 60
        lines.append(
            f"{'total':<14}{sum(p.jobs for p in self.phases):>6}{sum(p.flops for p in self.phases):>12.2e}"
            f"{sum(p.disk_bytes for p in self.phases) / GB:>10.2f}{max(p.peak_bytes for p in self.phases) / GB:>11.1f}"
            f"{total:>10.1f}"
        )
        speed = f"{self.flops_per_second / 1e9:.0f} GFLOP/s per core in a float32 matrix product, {self.cores} cores"
        return "\n".join([*lines, "", f"times assume {speed}", *self.notes])


def plan_run(config: Config, paths: Paths) -> RunPlan:
    """Return the cost of a run.

    Raises
    ------
    PlanError
        If a pair does not fit its memory budget.
    ModelError
        If a model's configuration cannot be read (hub models need the network or a local cache).
    """
    models = {name: _Model(config, paths, name) for name in config.models}
    used = [models[name] for name in config.used_models()]
    positions, note = _positions(config, paths)
    plan = RunPlan(notes=[note], flops_per_second=_matmul_speed(), cores=os.cpu_count() or 1)
    plan.phases = [
        Phase("corpus", 1, disk_bytes=_corpus_bytes(config), peak_bytes=1 * GB),
        *_zoo_phases(config, list(models.values())),
        _activation_phase(config, used, positions),
        _correlation_phase(config, models, positions, plan.notes),
        _theory_phase(config, plan.notes, plan.flops_per_second),
        Phase("results", 2 * len(config.pairs()) + len(config.groups()) + 5, peak_bytes=0.6 * GB),
    ]
    return plan


class _Model:
    """Shape and parameter count of a model entry."""

    def __init__(self, config: Config, paths: Paths, name: str) -> None:
        self.entry: ModelEntry = config.models[name]
        recipe = self.entry.zoo or (self.entry.untrained and config.models[self.entry.untrained.of].zoo)
        if recipe:
            family, size = config.zoo.families[recipe.family], config.zoo.sizes[recipe.size]
            hf_config = zoo_model_config(family, size, config.zoo.training)
        else:
            hf_config = loading.load_config_of(loading.model_source(config, paths, name))
        self.shape: NeuronShape = neuron_shape(hf_config, f"models.{name}")
        self.parameters = loading.count_parameters(hf_config)
        self.bytes = self.parameters * STORED_BYTES[self.entry.dtype]


def _zoo_phases(config: Config, models: list[_Model]) -> list[Phase]:
    zoo = [model for model in models if model.entry.kind == "zoo"]
    others = len(models) - len(zoo)
    phases = []
    if zoo:
        training = config.zoo.training
        tokens = training.steps * training.batch_size * training.sequence_length
        phases.append(Phase("tokenizers", len({m.entry.zoo.family for m in zoo if m.entry.zoo}), peak_bytes=0.6 * GB))
        phases.append(
            Phase(
                "training",
                len(zoo),
                flops=sum(6 * model.parameters * tokens for model in zoo),
                disk_bytes=sum(4 * model.bytes for model in zoo),  # with optimizer states in the checkpoint
                peak_bytes=0.8 * GB + max(6 * model.bytes for model in zoo),
                efficiency=MODEL_EFFICIENCY,
            )
        )
    if others:
        phases.append(Phase("models", others, peak_bytes=0.8 * GB))
    return phases


def _activation_phase(config: Config, used: list[_Model], positions: int) -> Phase:
    settings = config.activations
    stored = STORED_BYTES[settings.dtype]
    width = max(model.shape.n_neurons for model in used)
    batch = settings.batch_size * settings.sequence_length + 4096
    return Phase(
        "activations",
        len(used) * settings.n_shards,
        flops=sum(2 * model.parameters * positions for model in used),
        disk_bytes=sum(model.shape.n_neurons * positions * stored for model in used),
        peak_bytes=0.8 * GB + max(model.bytes for model in used) + batch * width * 12,
        efficiency=MODEL_EFFICIENCY,
    )


def _correlation_phase(config: Config, models: dict[str, _Model], positions: int, notes: list[str]) -> Phase:
    settings = config.correlation
    flops, peak = 0, 0
    for a, b in config.pairs():
        n_a, n_b = models[a].shape.n_neurons, models[b].shape.n_neurons
        tiles = plan_tiles(n_a, n_b, settings.memory_gb, settings.n_workers)
        notes.append(f"{a} × {b}: {n_a:,} × {n_b:,} neurons in {len(tiles.tiles)} tile(s)")
        flops += correlation_flops(n_a, n_b, positions)
        peak = max(peak, tiles.peak_bytes)
    disk = sum((models[a].shape.n_neurons + models[b].shape.n_neurons) for a, b in config.pairs())
    return Phase(
        "correlation",
        len(config.pairs()) * settings.n_jobs,
        flops=flops,
        disk_bytes=disk * (settings.max_k + 1) * 16,
        peak_bytes=peak,
        efficiency=0.8,
    )


def _theory_phase(config: Config, notes: list[str], flops_per_second: float) -> Phase:
    theory, models = config.theory, len(config.used_models())
    flops, stored = _simulation_cost(theory, theory.kappa, theory.gamma, theory.simulation.n_inputs)
    swept = sum(
        _simulation_cost(theory, **{"kappa": theory.kappa, "gamma": theory.gamma,
                                    "n_inputs": theory.simulation.n_inputs, name: value})[0]
        for name, value in theory.sweep.points()
    )  # fmt: skip
    if not swept:
        minutes = flops / flops_per_second / 60
        notes.append(
            f"theory.sweep: off; each value in its lists would cost about {max(minutes, 0.1):.1f} core minutes"
        )
    return Phase(
        "theory",
        len(theory.simulation.betas) + len(theory.sweep.points()) + models + 6,
        flops=flops + swept,
        disk_bytes=stored,
        peak_bytes=1 * GB + 40 * theory.decay.max_units**2,
    )


def _simulation_cost(theory: Theory, kappa: float, gamma: float, n_inputs: float) -> tuple[float, float]:
    """Return what simulating the grid costs in operations, and the largest run's bytes."""
    settings = theory.simulation.model_copy(update={"n_inputs": int(n_inputs)})
    cells = [
        Cell(AllocationModel(beta, kappa, gamma), n, run)
        for beta in settings.betas
        for n in settings.sizes
        for run in range(settings.runs)
    ]
    deviates, stored = expected_cost(cells, settings)
    return deviates * FLOPS_PER_DEVIATE + len(cells) * FLOPS_PER_SIMULATION, stored


def _positions(config: Config, paths: Paths) -> tuple[int, str]:
    """Return the number of positions per model, and how it was found."""
    limit = config.activations.max_documents or 10**12
    length = config.activations.sequence_length
    try:
        match = read_manifest(paths.corpus_manifest, "corpus")["splits"]["match"]
        documents = min(match["documents"], limit)
        per_document = min(length, match["bytes"] / max(match["documents"], 1) / BYTES_PER_TOKEN)
        return int(documents * per_document), f"positions: from the corpus in {paths.corpus_manifest.parent}"
    except StoreError:
        size = _corpus_bytes(config) * config.corpus.splits.match
        per_document = min(length * BYTES_PER_TOKEN, config.corpus.max_document_bytes or 1e12)
        documents = min(limit, size / per_document)
        return int(documents * per_document / BYTES_PER_TOKEN), "positions: estimated; the corpus is not built yet"


def _corpus_bytes(config: Config) -> float:
    source = config.corpus.source
    if isinstance(source, EnvironmentSource):
        return source.bytes_per_domain * len(source.domains)
    if isinstance(source, FilesSource):
        root = Path(source.path)
        return sum(p.stat().st_size for p in ([root] if root.is_file() else root.rglob("*")) if p.is_file())
    limit = config.corpus.max_documents or config.activations.max_documents or 0
    return limit * config.activations.sequence_length * BYTES_PER_TOKEN / config.corpus.splits.match


def _matmul_speed() -> float:
    """Return float32 operations per second of one core in a short matrix product."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    left = torch.rand(1024, 1024)
    left @ left
    start = time.perf_counter()
    for _ in range(3):
        left @ left
    seconds = time.perf_counter() - start
    torch.set_num_threads(threads)
    return 3 * 2 * 1024**3 / seconds
