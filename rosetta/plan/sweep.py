"""`rosetta plan`: what a configuration will cost, computed without running it.

Counts of jobs and shapes of models are exact. The number of positions follows from the documents of the corpus once
it is built, before from an estimate of the source; of a hub dataset it is not known. Times are operations over the
speed that this machine shows in a short matrix product, so they are meant for orientation.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from rosetta.config import Config, ModelEntry
from rosetta.config.base import GB
from rosetta.config.theory import Theory
from rosetta.correlation.plan import (
    correlation_flops,
    fits_rematch,
    plan_screen,
    plan_tiles,
    rematch_flops,
    screen_bytes,
    screen_flops,
    workers_of,
)
from rosetta.correlation.products import resolve_precision
from rosetta.errors import ModelError, StoreError
from rosetta.inputs.text.size import CorpusSize, estimate_size, sampled_size
from rosetta.models import loading, sources
from rosetta.models.neurons import NeuronShape, neuron_shape
from rosetta.models.placement import ITEM_BYTES
from rosetta.models.sizes import Planned, Size, planned_capture, planned_reading, planned_twin, tokenizing_bytes
from rosetta.models.zoo import zoo_model_config
from rosetta.run.paths import Paths
from rosetta.run.stages import job_names, made_by
from rosetta.storage.files import read_manifest
from rosetta.theory.allocation import AllocationModel
from rosetta.theory.simulation import Cell, expected_cost

BYTES_PER_TOKEN = 3.0  # of mixed text and code under a byte-level BPE; for the estimate only
# What a run is planned for where the size of its corpus is not known.
REFERENCE_POSITIONS = 1_000_000
# What a job costs before it does anything: interpreter and libraries.
START_SECONDS = 5.0
# A training step or forward pass of a small model reaches about this share of a plain matrix product's speed.
MODEL_EFFICIENCY = 0.5
# Moments, firing and top contexts of one activation; they are bound by memory, not arithmetic.
PROFILE_OPERATIONS = 50
PROFILE_EFFICIENCY = 0.05
# Share of a pool that a filter takes, where nothing tells how large the target domain is.
UNKNOWN_SHARE = 0.1
CONTEXT_BYTES = 30  # one row of the table of top contexts
# In operations of a matrix product: a normal deviate, and what a simulation of any size costs (stores, correlation).
FLOPS_PER_DEVIATE = 1000.0
FLOPS_PER_SIMULATION = 3e10


@dataclass
class Phase:
    """Cost of one phase of a run; `disk_bytes` is None if not known; if `temporary`, they are deleted once used."""

    name: str
    jobs: int
    flops: float = 0.0
    disk_bytes: float | None = 0.0
    peak_bytes: float = 0.0
    efficiency: float = 1.0
    temporary: bool = False

    def seconds(self, flops_per_second: float, cores: int) -> float:
        """Return the estimated wall-clock time with all cores busy."""
        return self.jobs * START_SECONDS / cores + self.flops / (flops_per_second * cores * self.efficiency)


@dataclass
class RunPlan:
    """Cost of a whole run; `positions` says for how many positions per model, and how that is known."""

    positions: str
    phases: list[Phase] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    flops_per_second: float = 1.0
    cores: int = 1
    device: str = "core"

    @property
    def device_hours(self) -> float:
        """Hours of one device, or core, that the operations take."""
        return sum(phase.flops / phase.efficiency for phase in self.phases) / self.flops_per_second / 3600

    def render(self) -> str:
        """Return the plan as text for a terminal."""
        head = f"{'phase':<14}{'jobs':>6} {'FLOPs':>11} {'disk GB':>10} {'memory GB':>10} {'minutes':>10}"
        lines = [self.positions, "", head]
        for phase in self.phases:
            minutes = phase.seconds(self.flops_per_second, self.cores) / 60
            lines.append(
                f"{phase.name:<14}{phase.jobs:>6} {phase.flops:>11.2e} {_gigabytes(phase.disk_bytes):>10} "
                f"{phase.peak_bytes / GB:>10.1f} {minutes:>10.1f}"
            )
        total = sum(phase.seconds(self.flops_per_second, self.cores) for phase in self.phases) / 60
        disk = _gigabytes(sum(phase.disk_bytes or 0 for phase in self.phases))
        at_least = "≥" if any(phase.disk_bytes is None for phase in self.phases) else ""
        lines.append(
            f"{'total':<14}{sum(p.jobs for p in self.phases):>6} {sum(p.flops for p in self.phases):>11.2e} "
            f"{at_least + disk:>10} {max(p.peak_bytes for p in self.phases) / GB:>10.1f} {total:>10.1f}"
        )
        speed = f"{self.flops_per_second / 1e9:.0f} GFLOP/s per {self.device}, {self.cores} {self.device}(s)"
        return "\n".join([*lines, "", f"{self.device_hours:.2f} {self.device}-hours at {speed}", *self.notes])


def _gigabytes(n_bytes: float | None) -> str:
    return "?" if n_bytes is None else f"{n_bytes / GB:.2f}"


def plan_run(config: Config, paths: Paths, tflops: float | None = None, devices: int = 1) -> RunPlan:
    """Return the cost of a run.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    tflops : float, optional
        Speed of a device in 10¹² operations per second; the speed and cores of this machine if not given.
    devices : int
        Number of such devices.

    Raises
    ------
    PlanError
        If a pair does not fit its memory budget.
    ModelError
        If a model does not fit what `devices` gives it, or its configuration cannot be read (hub models need the
        network or a local cache).
    """
    models = {name: _Model(config, paths, name) for name in config.needed_models()}
    used = [models[name] for name in config.used_models()]
    match, corpus_bytes, origin = _corpus_size(config, paths)
    positions, note = _positions(config, match, origin)
    if tflops:
        plan = RunPlan(note, flops_per_second=tflops * 1e12, cores=devices, device="device")
    else:
        plan = RunPlan(note, flops_per_second=_matmul_speed(), cores=os.cpu_count() or 1)
    plan.phases = [
        Phase("corpus", 1, disk_bytes=corpus_bytes, peak_bytes=1 * GB),
        *_zoo_phases(config, list(models.values())),
        _activation_phase(config, used, positions),
        _correlation_phase(config, models, positions, plan.notes),
        *_control_phases(config, models, positions, plan),
        _neuron_phase(config, used, positions),
        _theory_phase(config, plan.notes, plan.flops_per_second),
        *_filter_phases(config, models, corpus_bytes, plan.notes),
    ]
    plan.notes += [note for name in config.used_models() if (note := _placement_note(name, models[name].capture))]
    others = sum(map(len, job_names(config).values())) - sum(phase.jobs for phase in plan.phases)
    plan.phases.append(Phase("results", others, peak_bytes=0.6 * GB))
    return plan


class _Model:
    """Shape and parameter count of a model entry."""

    def __init__(self, config: Config, paths: Paths, name: str) -> None:
        self.entry: ModelEntry = config.models[name]
        twin = self.entry.untrained
        said = self.entry.dimensions or (config.models[twin.of].dimensions if twin else None)
        if said:
            self.shape, self.parameters = NeuronShape(said.n_layers, said.d_mlp), said.n_parameters
        else:
            self.shape, self.parameters = self._look_up(config, paths, name)
        self.bytes = self.parameters * ITEM_BYTES[self.entry.dtype]
        self.name, self.size = name, Size(self.shape, self.parameters)
        self.tokenizing = tokenizing_bytes(config, paths)
        self._config = config

    @cached_property
    def capture(self) -> Planned:
        """What capturing its activations takes; one that is only trained, or only a twin's base, is not captured."""
        return planned_capture(self._config, self.name, self.size)

    def _look_up(self, config: Config, paths: Paths, name: str) -> tuple[NeuronShape, int]:
        recipe = self.entry.zoo or (self.entry.untrained and config.models[self.entry.untrained.of].zoo)
        if recipe:
            family, size = config.zoo.families[recipe.family], config.zoo.sizes[recipe.size]
            hf_config = zoo_model_config(family, size, config.zoo.training)
        else:
            source = sources.model_source(config, paths, name)
            try:
                hf_config = loading.load_config_of(source)
            except ModelError as error:
                hint = " A plan needs no network where a hub model has `dimensions`." if source.revision else ""
                raise ModelError(f"{error}{hint}") from None
        return neuron_shape(hf_config, f"models.{name}"), loading.count_parameters(hf_config)


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
    if config.store_mode == "live":  # the models run in the correlation jobs
        return Phase("activations", len(used) * settings.n_shards, peak_bytes=0.8 * GB)
    stored = ITEM_BYTES[settings.dtype]
    return Phase(
        "activations",
        len(used) * settings.n_shards,
        flops=sum(2 * model.parameters * positions for model in used),
        disk_bytes=sum(model.shape.n_neurons * positions * stored for model in used),
        peak_bytes=max(model.capture.n_bytes + model.tokenizing for model in used),
        efficiency=MODEL_EFFICIENCY,
        temporary=config.store_mode == "temporary",
    )


def _placement_note(name: str, capture: Planned) -> str:
    """Return how a model is placed, if that is worth a line."""
    placement = capture.placement
    if placement is None:
        return ""
    split = f", split over {placement.n_gpus} GPUs" if placement.n_gpus > 1 else ""
    waits = ", some of its weights waiting off the device (slow)" if "cpu" in (placement.max_memory or ()) else ""
    return f"{name}: {placement.batch_size} document(s) per forward pass{split}{waits}"


def _correlation_phase(config: Config, models: dict[str, _Model], positions: int, notes: list[str]) -> Phase:
    settings = config.correlation
    workers = workers_of(config.dask)
    precision = resolve_precision(settings.precision)
    sketched = settings.method == "screened"
    phase = Phase("correlation", len(config.pairs()) * settings.n_jobs, efficiency=0.8, temporary=sketched)
    for a, b in config.pairs():
        size = (models[a].shape.n_neurons, models[b].shape.n_neurons, positions)
        if sketched:
            screen = plan_screen(*size, settings.memory_gb, n_rows=settings.screening.sketch_rows, workers=workers)
            kept = screen_bytes(size[0], size[1], screen.n_rows, config.activations.n_shards)
            flops, peak = screen_flops(*size, screen.n_rows), screen.peak_bytes
            if config.store_mode == "live":  # once for the sketches, once for the exact pairs
                flops += 2 * 2 * (models[a].parameters + models[b].parameters) * positions
                peak += models[a].capture.n_bytes + models[b].capture.n_bytes + models[a].tokenizing
            notes.append(f"{a} × {b}: {size[0]:,} × {size[1]:,} neurons, sketches of {screen.n_rows} rows")
        else:
            tiles = plan_tiles(*size, settings.memory_gb, precision=precision, workers=workers)
            kept = (size[0] + size[1]) * (settings.max_k + 1) * 16
            flops, peak = correlation_flops(*size), tiles.peak_bytes
            notes.append(f"{a} × {b}: {size[0]:,} × {size[1]:,} neurons in {len(tiles.tiles)} tile(s)")
        phase.flops += flops
        phase.disk_bytes += kept
        phase.peak_bytes = max(phase.peak_bytes, peak)
    if sketched:
        notes.append("screened: FLOPs and time are those of a pair whose neurons the first candidates certify")
    return phase


def _neuron_phase(config: Config, used: list[_Model], positions: int) -> Phase:
    neurons = sum(model.shape.n_neurons for model in used)
    return Phase(
        "neurons",
        2 * len(used),
        flops=PROFILE_OPERATIONS * positions * neurons,
        disk_bytes=neurons * config.specialization.n_contexts * CONTEXT_BYTES,
        peak_bytes=max(1 * GB, *(planned_reading(config, model.name, model.size).n_bytes for model in used)),
        efficiency=PROFILE_EFFICIENCY,
    )


def _theory_phase(config: Config, notes: list[str], flops_per_second: float) -> Phase:
    theory = config.theory
    served, stored = _simulation_cost(theory, theory.kappa, theory.gamma, theory.simulation.n_inputs)
    whole, of_whole = _simulation_cost(theory, theory.kappa, theory.gamma, theory.whole.n_inputs, whole=True)
    swept = sum(
        _simulation_cost(theory, **{"kappa": theory.kappa, "gamma": theory.gamma,
                                    "n_inputs": theory.simulation.n_inputs, name: value})[0]
        for name, value in theory.sweep.points()
    )  # fmt: skip
    notes.append(f"theory: simulations take up to {max(stored, of_whole) / GB:.2f} GB of disk while they run")
    if not swept:
        minutes = served / flops_per_second / 60
        notes.append(
            f"theory.sweep: off; each value in its lists would cost about {max(minutes, 0.1):.1f} core minutes"
        )
    return Phase(
        "theory",
        sum(len(names) for rule, names in job_names(config).items() if rule.startswith("theory_")),
        flops=served + whole + swept,
        peak_bytes=1 * GB,
    )


def _simulation_cost(
    theory: Theory, kappa: float, gamma: float, n_inputs: float, *, whole: bool = False
) -> tuple[float, float]:
    """Return what simulating the grid, or that of whole networks, costs in operations, and the largest run's bytes."""
    settings = theory.simulation.model_copy(update={"n_inputs": int(n_inputs)})
    grid = theory.whole if whole else theory.simulation
    cells = [
        Cell(AllocationModel(beta, kappa, gamma), n, run)
        for beta in settings.betas
        for n in grid.sizes
        for run in range(grid.runs)
    ]
    deviates, stored = expected_cost(cells, settings, whole=whole)
    return deviates * FLOPS_PER_DEVIATE + len(cells) * FLOPS_PER_SIMULATION, stored


# A listed pair costs about this many times a pair of a dense product.
LISTED_COST = 50


def _control_phases(config: Config, models: dict[str, _Model], positions: int, plan: RunPlan) -> list[Phase]:
    """Return the phases of twins, null models, intervals and sweeps; each null and sweep is a correlation anew."""
    controls, pairs, used = config.controls, config.pairs(), [models[name] for name in config.used_models()]
    sizes = [(models[a].shape.n_neurons, models[b].shape.n_neurons, positions) for a, b in pairs]
    once, peak = sum(correlation_flops(*size) for size in sizes), config.correlation.memory_gb * GB
    phases, n_twins = [], len(controls.untrained_seeds)
    if n_twins:
        live = config.store_mode == "live"
        stored = 0 if live else ITEM_BYTES[config.activations.dtype] * positions
        phases.append(
            Phase(
                "twins",
                len(used),
                flops=0 if live else n_twins * sum(2 * model.parameters * positions for model in used),
                disk_bytes=n_twins * sum(model.shape.n_neurons for model in used) * stored,
                peak_bytes=max(
                    planned_twin(config, model.name, model.size).n_bytes + model.tokenizing for model in used
                ),
                efficiency=MODEL_EFFICIENCY,
                temporary=True,
            )
        )
    n_nulls = sum(len(controls.seeds(name)) for name in controls.names)
    if n_nulls:
        phases.append(Phase("nulls", len(pairs) * len(controls.names), n_nulls * once, 0.0, peak, 0.8))
    intervals, listed = Phase("intervals", len(pairs), peak_bytes=peak, efficiency=0.8), 0
    for size in sizes:
        limits = (config.correlation.memory_gb, config.intervals)
        precision = resolve_precision(config.correlation.precision)
        if fits_rematch(*size, *limits, precision=precision, workers=workers_of(config.dask)):
            intervals.flops += rematch_flops(*size, config.intervals)
        else:
            candidates = (size[0] + size[1]) * (config.correlation.max_k + 1)
            intervals.flops += LISTED_COST * 2 * positions * candidates
            listed += 1
    if listed:
        which = f"{listed} of {len(pairs)} pairs"
        plan.notes.append(f"{which}: intervals of counts from each neuron's nearest neighbours, not from all neurons")
    phases.append(intervals)
    sweeps = config.sweeps
    n_settings = sweeps.budgets + sweeps.split_half + len(sweeps.pooling) + len(sweeps.exclusions)
    minutes = once / plan.flops_per_second / 0.8 / 60
    plan.notes.append(
        f"controls, sweeps: {n_nulls} seeds of null models and {n_settings} settings of sweeps; each costs about "
        f"{max(minutes, 0.1):.1f} {plan.device} minutes"
    )
    if n_settings:
        phases.append(Phase("sweeps", len(pairs), n_settings * once, 0.0, peak, 0.8))
    return phases


def _filter_phases(
    config: Config, models: dict[str, _Model], corpus_bytes: float | None, notes: list[str]
) -> list[Phase]:
    """Return the phases of the filtered corpus: choosing, scoring, selecting; and training on selections."""
    filtering = config.filtering
    if filtering is None:
        return []
    own = filtering.pool.source
    if own is None:
        n_bytes = None if corpus_bytes is None else corpus_bytes * config.corpus.splits.pool
    else:
        n_bytes = estimate_size(config.corpus.model_copy(update={"source": own, "max_documents": None})).n_bytes
    if n_bytes is None:
        notes.append(f"filtering: the size of its pool is not known; planned for {REFERENCE_POSITIONS:,} tokens of it")
    tokens = REFERENCE_POSITIONS if n_bytes is None else n_bytes / BYTES_PER_TOKEN
    selected = filtering.selection.budget_tokens
    if selected is None:
        share = filtering.pool.target_share or UNKNOWN_SHARE
        selected = math.ceil(share * tokens)
        notes.append(f"filtering: planned for {selected:,} selected tokens, {share:.0%} of the pool")
    scorer = models[config.filter_model()]
    copied = None if n_bytes is None else n_bytes * (1 + selected / tokens)
    phases = [
        Phase(
            "filtering",
            5 + filtering.pool.n_shards,
            flops=2 * scorer.parameters * tokens,  # at most: the pass ends at the neuron's layer
            disk_bytes=copied,
            peak_bytes=1 * GB + scorer.bytes,
            efficiency=MODEL_EFFICIENCY,
        )
    ]
    if filtering.pretraining:
        base, n = models[filtering.pretraining.model], len(filtering.trainings())
        heldout = (corpus_bytes or 0) * config.corpus.splits.heldout / BYTES_PER_TOKEN
        flops = base.parameters * (6 * selected * (n - 1) + 2 * heldout * n)
        phases.append(Phase("pretraining", n, flops, peak_bytes=1 * GB + 3 * base.bytes, efficiency=MODEL_EFFICIENCY))
    return phases


def _corpus_size(config: Config, paths: Paths) -> tuple[CorpusSize, float | None, str]:
    """Return the size of the match split, the bytes of the whole corpus (None if not known), and how both are known."""
    try:
        manifest = read_manifest(paths.corpus_manifest, "corpus")
    except StoreError:
        manifest = {}
    if manifest.get("made_by") == made_by(config, "corpus"):
        splits = manifest["splits"]
        n_documents, n_bytes = splits["match"]["documents"], splits["match"]["bytes"]
        whole_bytes = sum(split["bytes"] for split in splits.values())
        return CorpusSize(n_documents, n_bytes / n_documents), whole_bytes, f"from {paths.corpus_manifest.parent}"
    whole = estimate_size(config.corpus)
    n_documents = None if whole.n_documents is None else whole.n_documents * config.corpus.splits.match
    path = getattr(config.corpus.source, "path", None)
    why = "the corpus is not built yet" if path is None or Path(path).exists() else f"there is no {path} yet"
    match = sampled_size(CorpusSize(n_documents, whole.document_bytes), config.corpus)
    return match, whole.n_bytes, f"estimated; {why}"


def _positions(config: Config, match: CorpusSize, origin: str) -> tuple[int, str]:
    """Return the number of positions per model, and a line that says how it was found."""
    length = config.activations.sequence_length
    known = [n for n in (match.n_documents, config.activations.max_documents) if n is not None]
    if not known:
        return REFERENCE_POSITIONS, (
            f"positions: NOT KNOWN ({origin}; its source does not tell its size before it is read).\n"
            f"FLOPs, disk and minutes are those of {REFERENCE_POSITIONS:,} positions per model; what activations and\n"
            "correlation take grows in proportion. Set activations.max_documents, or corpus.sampling.max_sequences,\n"
            "for a plan of the whole run."
        )
    sampling = config.corpus.sampling
    if sampling and sampling.tokenizer:
        tokens = length
    elif match.document_bytes is None:
        tokens, origin = length, f"{origin}; as if every document had activations.sequence_length tokens or more"
    else:
        tokens = min(length, match.document_bytes / BYTES_PER_TOKEN)
    positions = math.ceil(min(known) * tokens)
    return positions, f"positions: {positions:,} per model, {origin}"


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
