"""`rosetta plan`: what a configuration will cost, computed without running it.

The costs of all jobs (`rosetta.plan.costs`), added up. Counts of jobs and shapes of models are
exact. The number of positions follows from the documents of the corpus once it is built, before
from an estimate of the source; of a hub dataset it is not known. Times are operations over the
speed that this machine shows in a short matrix product, so they are meant for orientation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, partial

from rosetta.config import Config, group_name
from rosetta.config.base import GB
from rosetta.correlation.checkpoints import SECONDS
from rosetta.correlation.plan import (
    ScreenPlan,
    TilePlan,
    n_passes,
    plan_orders,
    plan_screen,
)
from rosetta.correlation.products import resolve_precision
from rosetta.errors import ConfigError
from rosetta.judging.budget import check_cost, most_calls
from rosetta.models.known_sizes import planned_capture
from rosetta.plan.costs import pairs
from rosetta.plan.costs.base import NO_OPERATIONS, Cost, Known, Operations
from rosetta.plan.costs.models import reread_models
from rosetta.plan.costs.stages import COSTS
from rosetta.plan.costs.theory import theory_sweep
from rosetta.plan.extent import expected_extent
from rosetta.plan.sizes import exact_size
from rosetta.plan.speed import UNIT_SPEED, Speed, machine_speed
from rosetta.run.cores import job_cores
from rosetta.run.paths import Paths
from rosetta.run.stages import STAGES, pieces_of_job, rule_jobs
from rosetta.run.stages.record import PHASES

# What a job costs before it does anything: interpreter and libraries.
START_SECONDS = 5.0


@dataclass(frozen=True)
class Phase:
    """Cost of one phase of a run.

    Attributes
    ----------
    name : str
    jobs : int
        Those that begin with it: a job that does the work of several phases counts in its first.
    operations : Operations
        Of all its work.
    disk_bytes : float or None
        Of all jobs; None if not known.
    peak_bytes : float
        Memory of the largest job.
    cores : int
        That its jobs compute on together, if all run at once.
    temporary : bool
        Whether what is written is deleted once it is used.
    """

    name: str
    jobs: int
    operations: Operations = NO_OPERATIONS
    disk_bytes: float | None = 0.0
    peak_bytes: float = 0.0
    cores: int = 1
    temporary: bool = False

    @classmethod
    def of(
        cls, name: str, jobs: int, costs: list[Cost], cores: int, *, temporary: bool = False
    ) -> Phase:
        """Return a phase of some costs, and of so many jobs and cores."""
        disk = [cost.disk_bytes for cost in costs]
        return cls(
            name,
            jobs,
            sum((cost.operations for cost in costs), NO_OPERATIONS),
            None if None in disk else sum(n for n in disk if n is not None),
            max(cost.n_bytes for cost in costs),
            cores,
            temporary,
        )

    @property
    def flops(self) -> float:
        """Floating-point operations of all jobs."""
        return self.operations.flops

    def seconds(self, speed: Speed) -> float:
        """Return the estimated wall-clock time, with as many devices busy as its jobs can use."""
        work = self.operations.work / speed.flops_per_second
        return (self.jobs * START_SECONDS + work) / min(speed.n_devices, max(self.cores, 1))


@dataclass
class RunPlan:
    """Cost of a whole run.

    Attributes
    ----------
    positions : str
        For how many positions per model, and how that is known.
    phases : list of Phase
    notes : list of str
        What else to know, a line each.
    speed : Speed
        Of the devices.
    """

    positions: str
    phases: list[Phase] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    speed: Speed = UNIT_SPEED

    @property
    def flops(self) -> float:
        """Floating-point operations of the run."""
        return sum(phase.flops for phase in self.phases)

    @property
    def device_hours(self) -> float:
        """Hours of one device, or core, that the operations take."""
        work = sum(phase.operations.work for phase in self.phases)
        return work / self.speed.flops_per_second / 3600

    def render(self) -> str:
        """Return the plan as text for a terminal."""
        phases, speed = self.phases, self.speed
        lines = [self.positions, "", _row("phase", "jobs", *COLUMNS)]
        for phase in phases:
            minutes = phase.seconds(speed) / 60
            cells = (_gigabytes(phase.disk_bytes), f"{phase.peak_bytes / GB:.1f}", f"{minutes:.1f}")
            lines.append(_row(phase.name, str(phase.jobs), f"{phase.flops:.2e}", *cells))
        minutes = sum(phase.seconds(speed) for phase in phases) / 60
        at_least = "≥" if any(phase.disk_bytes is None for phase in phases) else ""
        disk = at_least + _gigabytes(sum(phase.disk_bytes or 0 for phase in phases))
        memory = f"{max(phase.peak_bytes for phase in phases) / GB:.1f}"
        jobs = str(sum(phase.jobs for phase in phases))
        lines.append(_row("total", jobs, f"{self.flops:.2e}", disk, memory, f"{minutes:.1f}"))
        lines += ["", f"{self.device_hours:.2f} {speed.words}"]
        return "\n".join([*lines, *([speed.caution] if speed.caution else []), *self.notes])


COLUMNS = ("FLOPs", "disk GB", "memory GB", "minutes")


def _row(name: str, jobs: str, flops: str, disk: str, memory: str, minutes: str) -> str:
    return f"{name:<14}{jobs:>6} {flops:>11} {disk:>10} {memory:>10} {minutes:>10}"


def _gigabytes(n_bytes: float | None) -> str:
    return "?" if n_bytes is None else f"{n_bytes / GB:.2f}"


def plan_run(
    config: Config,
    paths: Paths,
    tflops: float | None = None,
    devices: int = 1,
) -> RunPlan:
    """Return the cost of a run.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    tflops : float, optional
        Speed of a device in 10¹² operations per second; the speed and cores of this machine if
        not given.
    devices : int
        Number of such devices.

    Raises
    ------
    PlanError
        If a pair does not fit its memory budget.
    ModelError
        If a model does not fit what `devices` gives it, or its configuration cannot be read (hub
        models need the network or a local cache).
    CorpusError
        If a local file of the corpus cannot be read.
    """
    known, said, pool_notes = expected(config, paths)
    speed = Speed(tflops * 1e12, devices, "device") if tflops else machine_speed()
    plan = RunPlan(said, _phases(known, speed.n_devices), speed=speed)
    plan.notes += [
        *_core_notes(known, speed),
        *_pair_notes(known),
        *_checkpoint_notes(known),
        *_control_notes(known, speed),
        *_theory_notes(known, speed),
        *_judge_notes(known),
        *pool_notes,
        *_placement_notes(known),
    ]
    return plan


def expected(config: Config, paths: Paths) -> tuple[Known, str, list[str]]:
    """Return what the costs of a run are expected to follow from, and how its text is known.

    The second and third value are those of `rosetta.plan.extent.expected_extent`.
    """
    extent, said, notes = expected_extent(config, paths)
    size_of = lru_cache(maxsize=None)(partial(exact_size, config, paths))
    precision = resolve_precision(config.correlation.precision)
    return Known(config, extent, size_of, precision), said, notes


def _phases(known: Known, n_devices: int) -> list[Phase]:
    """Return the phases that have any work, on so many devices or cores."""
    temporary = set() if known.config.small_pairs else {"twins"}
    if known.config.store_mode == "temporary":
        temporary.add("activations")
    if known.config.correlation.method == "screened":
        temporary.add("correlation")  # its sketches
    costs: dict[str, list[Cost]] = {phase: [] for phase in PHASES}
    jobs, cores = dict.fromkeys(PHASES, 0), dict.fromkeys(PHASES, 0)
    for rule, of_rule in rule_jobs(known.config).items():
        each = job_cores(known.config, rule, len(of_rule), n_devices)
        for job in of_rule:
            pieces = pieces_of_job(known.config, rule, job)
            jobs[STAGES[pieces[0].stage].phase] += 1
            for stage, on in pieces:
                costs[STAGES[stage].phase].append(COSTS[stage](known, on))
            for phase in {STAGES[piece.stage].phase for piece in pieces}:
                cores[phase] += each
    return [
        Phase.of(phase, jobs[phase], found, cores[phase], temporary=phase in temporary)
        for phase, found in costs.items()
        if found
    ]


def _core_notes(known: Known, speed: Speed) -> list[str]:
    """Return on how many cores of this machine captures and correlations compute."""
    config, said = known.config, []
    for what, stages in (("capture", {"activations", "generate"}), ("correlation", {"correlate"})):
        cores = [
            job_cores(config, rule, len(jobs), speed.n_devices)
            for rule, jobs in rule_jobs(config).items()
            if jobs and stages & {stage for stage, _ in pieces_of_job(config, rule, jobs[0])}
        ]
        said += [f"a {what} takes {max(cores)}"] if cores else []
    return [f"of {speed.n_devices} core(s) {', '.join(said)}"] if speed.device == "core" else []


def _pair_notes(known: Known) -> list[str]:
    """Return how each pair is cut, which fails where it does not fit its memory budget."""
    config, notes = known.config, []
    settings = config.correlation
    for pair in config.pairs():
        size, budget = known.pair_size(pair), pairs.tile_budget(known, pair)
        neurons = f"{pair[0]} × {pair[1]}: {size[0]:,} × {size[1]:,} neurons"
        if settings.method == "screened":
            n_rows = settings.screening.sketch_rows
            screen = plan_screen(size, budget, n_rows)
            notes.append(f"{neurons}, sketches of {screen.n_rows} rows, {_about(screen)}")
        else:
            n_orders = 1 + len(config.permuted_with(group_name(pair)))
            held = pairs.held_rows("permutation" if n_orders > 1 else "")
            how = {"precision": known.precision, "held": held}
            plan, at_once = plan_orders(size, budget, n_orders, **how)
            n = n_passes(plan, at_once, n_orders)
            notes.append(f"{neurons} in {n} pass(es), {_about(plan)}{_beside(known, pair)}")
    if config.activations.keep == "auto":
        notes.append(f"activations.keep: auto is {_MODES[config.store_mode]}")
    if settings.method == "screened":
        certified = "a pair whose neurons the first candidates certify"
        notes.append(f"screened: FLOPs and time are those of {certified}")
    return notes


def _checkpoint_notes(known: Known) -> list[str]:
    """Return what disk the sums of a pass take while it runs, where that is a gigabyte or more."""
    named = [{"pair": group_name(pair), "job": 0} for pair in known.config.pairs()]
    saved = max((COSTS["correlate"](known, job).scratch_bytes for job in named), default=0.0)
    if saved < GB:
        return []
    disk = f"up to {saved / GB:.1f} GB of disk a job"
    return [f"passes of more than {SECONDS / 60:.0f} minutes save their sums: {disk}"]


_MODES = {
    "temporary": "temporary here: a disk reads activations sooner than the models make them again",
    "live": "false here: models make activations again sooner than a disk reads them",
}


def _beside(known: Known, pair: tuple[str, str]) -> str:
    """Return what live models take of a GPU of a given size beside a tile; nothing elsewhere."""
    if not known.live or known.config.devices.gpu_memory_gb is None:
        return ""
    held = reread_models(known, pair).gpu_bytes
    return f" beside {held / GB:.1f} GB of a GPU for the models"


def _about(plan: TilePlan | ScreenPlan) -> str:
    return f"about {plan.peak_bytes / GB:.1f} GB"


def _control_notes(known: Known, speed: Speed) -> list[str]:
    """Return how intervals are found, and what one more seed or setting would cost."""
    config, notes = known.config, []
    listed = sum(not pairs.rematches(known, pair) for pair in config.pairs())
    if listed:
        which = f"{listed} of {len(config.pairs())} pairs"
        neighbors = "each neuron's nearest neighbours, not from all neurons"
        notes.append(f"{which}: intervals of counts from {neighbors}")
    once = sum((pairs.exact_products(known, pair) for pair in config.pairs()), NO_OPERATIONS)
    minutes = once.work / speed.flops_per_second / 60
    n_nulls = sum(len(config.controls.seeds(name)) for name in config.controls.names)
    notes.append(
        f"controls, sweeps: {n_nulls} seeds of null models and {pairs.n_swept(config)} settings of "
        f"sweeps; each costs about {max(minutes, 0.1):.1f} {speed.device} minutes"
    )
    return notes


def _theory_notes(known: Known, speed: Speed) -> list[str]:
    theory = known.config.theory
    stage = STAGES["theory_simulate"]
    simulated = [COSTS[stage.name](known, job) for job in stage.jobs(known.config)]
    if not simulated:
        return []
    stored = max(cost.scratch_bytes for cost in simulated)
    notes = [f"theory: simulations take up to {stored / GB:.2f} GB of disk while they run"]
    if not theory.sweep.points():
        another = theory_sweep(known, "n_inputs", theory.simulation.n_inputs)
        minutes = another.operations.work / speed.flops_per_second / 60
        about = f"about {max(minutes, 0.1):.1f} core minutes"
        notes.append(f"theory.sweep: off; each value in its lists would cost {about}")
    return notes


def _judge_notes(known: Known) -> list[str]:
    """Return what the judge is asked at most, and what that costs."""
    settings = known.config.judge
    if settings is None:
        return []
    calls = most_calls(known.config, lambda model: known.size_of(model).shape.n_neurons)
    notes = [f"judge: at most {calls.told(settings)}"]
    try:
        check_cost(settings, calls)
    except ConfigError as error:
        notes.append(f"the run would not start. {error}")
    return notes


def _placement_notes(known: Known) -> list[str]:
    """Return how models are placed that do not simply lie on one device."""
    notes = []
    for name in known.config.used_models():
        sample = "document" if known.config.modality_of(name) == "text" else "image"
        placement = planned_capture(known.config, name, known.size_of(name)).placement
        if placement is None:
            continue
        split = f", split over {placement.n_gpus} GPUs" if placement.n_gpus > 1 else ""
        waiting = "cpu" in (placement.max_memory or ())
        waits = ", some of its weights waiting off the device (slow)" if waiting else ""
        notes.append(f"{name}: {placement.batch_size} {sample}(s) per forward pass{split}{waits}")
    return notes
