from collections.abc import Sequence


class Distribution:
    """
    What a parameter's values may be: numbers, or the indices of its options.
    """

    @staticmethod
    def real(low: float, high: float, log: bool = False, step: float = 0.0) -> Distribution:
        """
        Numbers in [low, high]; with a step low, low + step, ... InvalidArgumentError says what is wrong with them.
        """

    @staticmethod
    def whole(low: int, high: int, log: bool = False, step: int = 1) -> Distribution:
        """Whole numbers in [low, high], within -2**53 and 2**53."""

    @staticmethod
    def categorical(options: int) -> Distribution:
        """The indices of so many options."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float:
        """Inclusive: the last step."""

    @property
    def step(self) -> float:
        """0.0: every number between."""

    @property
    def log(self) -> bool: ...

    @property
    def count(self) -> int:
        """How many values there are; 0: too many to count."""

    def contains(self, value: float) -> bool: ...

    def nearest(self, value: float) -> float:
        """The value of the distribution that is nearest."""

    def compatible(self, other: Distribution) -> bool:
        """
        Whether a study may go on with `other` for the same name: the range may change, the kind, log and options may not.
        """

    def drawn(self, seed: int, trial: int, name: str) -> float:
        """
        The random value that the trial of this number has for the name: always the same one.
        """

    def __eq__(self, other: object) -> bool: ...

    def __repr__(self) -> str: ...

class TrialMirror:
    """
    What samplers and pruners know of trials that are kept elsewhere. One thread at a time.
    """

    def __init__(self, directions: Sequence[int]) -> None: ...

    def __len__(self) -> int: ...

    def add(self, state: int) -> int:
        """The new trial's number."""

    def give(self, trial: int, name: str, value: float, distribution: Distribution) -> None: ...

    def report(self, trial: int, step: int, value: float) -> None: ...

    def constrain(self, trial: int, violation: float) -> None: ...

    def note(self, trial: int, note: bytes) -> None: ...

    def about_to_use(self, trial: int, parameters: Sequence[tuple[str, Distribution]], values: Sequence[float]) -> None:
        """What a running trial will use once it asks."""

    def move(self, trial: int, state: int, values: Sequence[float]) -> None: ...

    def state(self, trial: int) -> int: ...

class Sampler:
    """
    Where to look next: a function of a seed, the trial's number and the trials.
    """

    def joint(self, mirror: TrialMirror, trial: int) -> list[tuple[str, Distribution]]:
        """The parameters that sample() gives together, by ascending name."""

    def sample(self, mirror: TrialMirror, trial: int, parameters: Sequence[tuple[str, Distribution]]) -> tuple:
        """A value for each, and what is to be kept with them."""

    def sample_one(self, mirror: TrialMirror, trial: int, name: str, distribution: Distribution) -> float: ...

    def suggest(self, mirror: TrialMirror, trial: int, parameters: Sequence[tuple[str, Distribution]]) -> list[float]:
        """
        A value for each: together where the sampler has them together, else each alone. The trial gets them.
        """

def random_sampler(seed: int) -> Sampler: ...

def tpe_sampler(seed: int, startup_trials: int = 10, candidates: int = 24, multivariate: bool | None = None, group: bool = False, constant_liar: bool = True) -> Sampler: ...

def parzen_log_densities(distributions: Sequence[Distribution], observations: Sequence[Sequence[float]], equal_weights: bool, points: Sequence[Sequence[float]]) -> list[float]:
    """
    The log density of TPE's mixture of kernels, one an observation (oldest first), at each point.
    """

def hypervolume(losses: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """
    The volume between the reference and the points, of which less is better, exact.
    """

def best_of_fronts(losses: Sequence[Sequence[float]], count: int) -> list[int]:
    """
    Indices of the best: whole fronts, then the subset of the largest hypervolume.
    """

class Cma:
    """
    CMA-ES over [0, 1]^n: a normal distribution that is told which points were good.
    """

    def __init__(self, mean: Sequence[float], sigma: float, population: int, steps: Sequence[float] = []) -> None: ...

    def drawn(self, seed: int, trial: int) -> list[float]: ...

    def on_steps(self, point: Sequence[float]) -> list[float]: ...

    def tell(self, solutions: Sequence[tuple[Sequence[float], float]]) -> None: ...

    @property
    def mean(self) -> list[float]: ...

    @property
    def sigma(self) -> float: ...

    @property
    def covariance(self) -> list[float]:
        """Row by row."""

    @property
    def done(self) -> bool: ...

def cmaes_sampler(seed: int, startup_trials: int = 1, population: int | None = None, with_margin: bool = False, restarts: int = 0) -> Sampler: ...

def nsga2_sampler(seed: int, population: int = 50, mutation: float | None = None, crossover: float = 0.9, swapping: float = 0.5, sbx: bool = False) -> Sampler: ...

def gp_sampler(seed: int, startup_trials: int = 10) -> Sampler: ...

def qmc_sampler(seed: int, halton: bool = False, scramble: bool = False) -> Sampler: ...

def qmc_point(seed: int, halton: bool, scramble: bool, index: int, dims: int) -> list[float]: ...

def brute_force_sampler(seed: int) -> Sampler: ...

def brute_force_exhausted(mirror: TrialMirror) -> bool: ...

class GridPlan:
    """Which cell of a grid each trial has."""

    @staticmethod
    def make(seed: int, axes: Sequence[tuple[str, Sequence[float]]]) -> GridPlan: ...

    def __len__(self) -> int: ...

    def cell(self, mirror: TrialMirror, trial: int) -> int | None:
        """None: all have been given out."""

    def place(self, cell: int, axis: int) -> int:
        """Which of the axis' values."""

class Pruner:
    """Whether a trial that has just reported is worth going on with."""

    def prune(self, mirror: TrialMirror, trial: int) -> bool: ...

    def kept(self, trial: int) -> bytes:
        """What has to be kept with the trial, for recall()."""

    def recall(self, trial: int, kept: bytes) -> None: ...

def nop_pruner() -> Pruner: ...

def percentile_pruner(percentile: float, startup_trials: int, warmup_steps: int, interval_steps: int, min_trials: int) -> Pruner: ...

def threshold_pruner(lower: float, upper: float, warmup_steps: int, interval_steps: int) -> Pruner: ...

def successive_halving_pruner(min_resource: int | None, reduction_factor: int, min_early_stopping_rate: int, bootstrap_count: int) -> Pruner: ...

def hyperband_pruner(study_name: str, min_resource: int, max_resource: int | None, reduction_factor: int, bootstrap_count: int) -> Pruner: ...

def wilcoxon_pruner(p_threshold: float, startup_steps: int) -> Pruner: ...

def patient_pruner(patience: int, min_delta: float) -> Pruner:
    """Prunes once the patience is over; what it wraps is asked by the face."""

def ped_anova(mirror: TrialMirror, region: Sequence[int], top: Sequence[int], names: Sequence[str], local: bool = True) -> list[float]:
    """
    For each name how far the top trials' density is from that of all of the region, or from a uniform one.
    """

class Forest:
    """Regression trees over a study's parameters."""

    @staticmethod
    def fit(distributions: Sequence[Distribution], points: Sequence[Sequence[float]], losses: Sequence[float], seed: int = 0, trees: int = 64, max_depth: int = 64) -> Forest: ...

    def fanova(self) -> list[float]:
        """
        The share of the variance over the whole space that each parameter alone explains.
        """

    def impurity_decrease(self) -> list[float]:
        """What the splits at each parameter gained; sums to 1."""
