from collections.abc import Mapping, Sequence
import enum
import os
from typing import overload


def crc32c(data: bytes) -> int:
    """The checksum of TensorFlow's records."""

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
    def is_whole(self) -> bool: ...

    @property
    def is_categorical(self) -> bool: ...

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

class Storage:
    """
    Studies in a journal that many processes write and follow, or in memory. Any thread may use it; a child made by fork opens it again.
    """

    @staticmethod
    def open(path: str | os.PathLike, signs: str = 'auto', beat_interval_s: float = 10.0) -> Storage:
        """
        signs: how others see that this process lives: 'lock', 'beat', or 'auto' by the file system.
        """

    @staticmethod
    def in_memory() -> Storage:
        """Kept by this process alone."""

    @property
    def path(self) -> str:
        """'' in memory."""

    @property
    def has_beats(self) -> bool: ...

    def beat(self) -> None:
        """A sign of life."""

    def create_study(self, name: str, directions: Sequence[int]) -> int:
        """Its id. AlreadyExistsError when the name is taken."""

    def delete_study(self, study: int) -> None: ...

    def studies(self) -> list[tuple[int, str, list[int]]]:
        """(id, name, directions) of each."""

    def study_attributes(self, study: int) -> list[tuple[str, str, bool]]:
        """(name, JSON text, whether it is a program's) of each."""

    def set_study_attribute(self, study: int, name: str, json: str, system: bool = False) -> None: ...

    def columns(self, study: int) -> list[tuple[str, str]]:
        """(name, JSON text of its options or '') of each parameter."""

    def stale(self, study: int) -> list[int]:
        """Ids of trials that run and whose process is dead."""

    def reap(self, study: int, state: int) -> list[int]:
        """Moves them to the state; gives their numbers."""

    def frame(self, study: int) -> tuple[bytes, bytes, bytes, bytes, list[tuple[str, str, bool, bytes]], list[tuple[int, str, str, bool]]]:
        """
        Arrays of all trials, as bytes: states (u8), values (f64, a row a trial), started_ns, finished_ns (i64), then (name, JSON text of the options, whether whole, f64 with NaN where there is none) of each parameter, and (number, name, JSON text, whether a program's) of each attribute.
        """

    def create_trial(self, study: int, state: int | None = None, values: Sequence[float] | None = None, parameters: Sequence[tuple[str, float, Distribution, str]] = [], reports: Sequence[tuple[int, float]] = [], attributes: Sequence[tuple[str, str, bool]] = [], violation: float | None = None, started_ns: int = 0, finished_ns: int = 0, synced: bool = False) -> int:
        """Its id. It runs, unless a state is given."""

    def change_trial(self, trial: int, state: int | None = None, values: Sequence[float] | None = None, parameters: Sequence[tuple[str, float, Distribution, str]] = [], reports: Sequence[tuple[int, float]] = [], attributes: Sequence[tuple[str, str, bool]] = [], violation: float | None = None, started_ns: int = 0, finished_ns: int = 0, synced: bool = False) -> None:
        """
        All of it or nothing. NotFoundError; FailedPreconditionError for a finished trial; AbortedError for a claim of one that runs.
        """

    def place(self, trial: int) -> tuple[int, int]:
        """The study's id and the number of the trial of this id."""

    def trials(self, study: int, from_number: int = 0, numbers: Sequence[int] = []) -> list[tuple[int, int, int, list[float] | None, list[tuple[str, float, Distribution]], list[tuple[int, float]], list[tuple[str, str, bool]], int, int, float | None]]:
        """
        (id, number, state, values, parameters, reports, attributes, started_ns, finished_ns, violation) of those of the given numbers, and of all from a number on.
        """

class SamplerFactory:
    """Makes a study's sampler, of its seed."""

    def made(self, seed: int) -> Sampler:
        """One for trials that are kept elsewhere (TrialMirror)."""

    @staticmethod
    def random(seed: int | None = None) -> SamplerFactory: ...

    @staticmethod
    def tpe(startup_trials: int = 10, candidates: int = 24, multivariate: bool | None = None, group: bool = False, constant_liar: bool = True, seed: int | None = None) -> SamplerFactory:
        """The tree-structured Parzen estimator."""

    @staticmethod
    def gp(startup_trials: int = 10, seed: int | None = None) -> SamplerFactory:
        """A Gaussian process: one objective, few trials."""

    @staticmethod
    def cmaes(startup_trials: int = 1, population: int | None = None, with_margin: bool = False, restarts: str | None = None, seed: int | None = None) -> SamplerFactory:
        """CMA-ES over the numbers; restarts: None, 'ipop' or 'bipop'."""

    @staticmethod
    def nsga2(population: int = 50, mutation_prob: float | None = None, crossover_prob: float = 0.9, swapping_prob: float = 0.5, crossover: str = 'uniform', seed: int | None = None) -> SamplerFactory:
        """NSGA-II, for one objective or several."""

    @staticmethod
    def nsga3(population: int = 50, dividing_parameter: int = 3, references: Sequence[Sequence[float]] = [], crossover: str = 'uniform', seed: int | None = None) -> SamplerFactory:
        """
        NSGA-III, for three objectives and more: keeps to lines through reference points.
        """

    @staticmethod
    def qmc(sequence: str = 'sobol', scramble: bool = False, seed: int | None = None) -> SamplerFactory:
        """Sobol's sequence or Halton's."""

    @staticmethod
    def grid(axes: Sequence[tuple[str, Sequence[float]]], seed: int | None = None) -> SamplerFactory:
        """
        (name, values) each: every cell once. Options are given as their indices.
        """

    @staticmethod
    def brute_force(seed: int | None = None) -> SamplerFactory:
        """Every combination of steps, whole numbers and options once."""

class PrunerFactory:
    """Makes a study's pruner: daybreak.tune.pruners has them by name."""

    @staticmethod
    def nop() -> PrunerFactory: ...

    @staticmethod
    def percentile(percentile: float, startup_trials: int, warmup_steps: int, interval_steps: int, min_trials: int) -> PrunerFactory: ...

    @staticmethod
    def threshold(lower: float, upper: float, warmup_steps: int, interval_steps: int) -> PrunerFactory: ...

    @staticmethod
    def successive_halving(min_resource: int | None, reduction_factor: int, min_early_stopping_rate: int, bootstrap_count: int) -> PrunerFactory: ...

    @staticmethod
    def hyperband(min_resource: int, max_resource: int | None, reduction_factor: int, bootstrap_count: int) -> PrunerFactory: ...

    @staticmethod
    def patient(wrapped: PrunerFactory | None, patience: int, min_delta: float) -> PrunerFactory: ...

    @staticmethod
    def wilcoxon(p_threshold: float, startup_steps: int) -> PrunerFactory: ...

class Trial:
    """One that runs here: asks for its parameters, reports on its way."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:
        """A number in [low, high]; with a step low, low + step, ..."""

    @overload
    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number in [low, high]."""

    @overload
    def suggest_int(self, name: str, low: object, high: object, *, step: object = 1, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, choices: object) -> object:
        """
        One of the options, each None, a bool, an int, a float or a str; numpy's scalars become these.
        """

    def report(self, value: float, step: int) -> None:
        """Of a step the first report counts."""

    def should_prune(self) -> bool:
        """Whether it shall end now, by what it has reported."""

    def set_violation(self, violation: float) -> None:
        """The sum of its constraints' excess; 0 or less is feasible."""

    def set_constraint(self, key: str, value: float) -> None:
        """
        0 or less: feasible. Of several keys what is above 0 is added up; of one key the last value counts.
        """

    def set_attribute(self, name: str, json: str, system: bool) -> None: ...

    def set_user_attr(self, key: str, value: object) -> None:
        """A value that JSON holds."""

    @property
    def params(self) -> dict:
        """What it was given so far, by name."""

    @property
    def number(self) -> int: ...

    @property
    def trial_id(self) -> int: ...

    @property
    def study(self) -> object: ...

    def __repr__(self) -> str: ...

class Study:
    """What is asked for, told and remembered."""

    def __init__(self, storage: Storage, name: str, directions: Sequence[int], *, create: bool = True, load_if_exists: bool = False, seed: int | None = None, sampler: SamplerFactory | None = None, pruner: PrunerFactory | None = None, synced_asks: bool = False, synced_tells: bool = True, dead_trials: str = 'retry') -> None: ...

    def ask(self, fixed_distributions: object = None) -> Trial:
        """
        A trial that waits, or a new one. With distributions (or options) by name these are suggested at once, in one write.
        """

    def ask_spaces(self, space: Sequence[tuple[str, Distribution, str]]) -> tuple[Trial, list[float]]: ...

    def ask_many_spaces(self, count: int, space: Sequence[tuple[str, Distribution, str]]) -> list[tuple[Trial, list[float]]]: ...

    def enqueue_json(self, parameters: str, attributes: Sequence[tuple[str, str]]) -> int: ...

    def tell(self, trial: object, values: object | None = None, state: int | None = None, skip_if_finished: bool = False) -> None:
        """
        What became of a trial (or of its number). Without a state: complete when there is a number for each objective, else failed, which is logged.
        """

    def tell_many(self, told: Sequence[tuple[object, float]]) -> None:
        """Many (trial, value), in one write and one sync."""

    def best_number(self) -> int: ...

    def best_numbers(self) -> list[int]: ...

    def reap(self) -> list[int]:
        """
        Trials whose process died wait again, or have failed, as asked. Their numbers. ask() does so once a second.
        """

    def stop(self) -> None:
        """optimize() starts no further trial."""

    @property
    def is_stopped(self) -> bool: ...

    @property
    def study_id(self) -> int: ...

    @property
    def direction_numbers(self) -> list[int]: ...

    @property
    def study_name(self) -> str: ...

    @property
    def seed(self) -> int:
        """Of its random numbers; kept in the journal."""

    @property
    def storage(self) -> Storage: ...

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

def nsga3_sampler(seed: int, population: int = 50, mutation: float | None = None, crossover: float = 0.9, swapping: float = 0.5, sbx: bool = False, dividing_parameter: int = 3, references: Sequence[Sequence[float]] = []) -> Sampler: ...

def gp_sampler(seed: int, startup_trials: int = 10) -> Sampler: ...

def bohb_config(seed: int, number: int, distributions: Sequence[Distribution], rows: Sequence[float], losses: Sequence[float], least: int, top_share: float, candidates: int) -> list[float]:
    """BOHB's model of one budget: a config, of rows (flat) and their losses."""

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

class Answer:
    """What results of a trial led to."""

    @property
    def decision(self) -> str: ...

    @property
    def next(self) -> float:
        """Until its time reaches this it need not wait for answers."""

    @property
    def counted(self) -> int: ...

    @property
    def late(self) -> int:
        """Results that came after its end: passed over."""

    @property
    def unscored(self) -> int:
        """Results without the metric or the time: no decision."""

    @property
    def lines(self) -> bytes: ...

class Experiment:
    """
    Trials, what became of them, and their scheduler, in a journal; one thread, one driver.

    ``scheduler``: "fifo", "asha", "hyperband", "bohb", "median", "pbt", "pb2" with its numbers, or "" when decisions are the caller's.
    """

    @staticmethod
    def create(path: str, plan: str, scheduler: str = 'fifo', numbers: Mapping[str, float] = {}) -> Experiment: ...

    @staticmethod
    def open(path: str, scheduler: str = 'fifo', numbers: Mapping[str, float] = {}) -> Experiment:
        """Replays the journal; trials that ran are pending again."""

    @staticmethod
    def read(path: str) -> Experiment:
        """What is there, also while somebody drives it; nothing can be changed."""

    @staticmethod
    def plan_of(path: str) -> str: ...

    @staticmethod
    def is_driven(path: str) -> bool:
        """Whether a process has it open to go on with it."""

    @property
    def plan(self) -> str: ...

    def set_plan(self, plan: str) -> None: ...

    def __len__(self) -> int: ...

    def state(self, trial: int) -> str: ...

    def count(self, state: str) -> int: ...

    def trial(self, trial: int) -> dict:
        """What is known of it."""

    def add(self, id: str, suggestion: str) -> int: ...

    def start(self, trial: int) -> None: ...

    def result(self, trial: int) -> str:
        """The last that counts, as JSON, or ''."""

    def results(self, trial: int, packed: bytes, tail: bytes = ...) -> Answer: ...

    def decide(self, trial: int, decision: str) -> None: ...

    def end(self, trial: int, state: str, error: str = '') -> None: ...

    def saved(self, trial: int, name: str, iteration: int, time: float, rank: float) -> None: ...

    def exploit(self, trial: int, source: int, suggestion: str) -> None: ...

    def reopen(self, trial: int, from_checkpoint: bool) -> None: ...

    def surplus(self, trial: int, keep: int) -> list[str]:
        """
        Checkpoints above `keep` that nobody needs; they are forgotten: delete them.
        """

    def choose(self) -> int | None: ...

    def hand(self) -> int | None:
        """
        The first that waits and has never begun, for who will start() it when one before it has ended; None: not now.
        """

    def take_back(self, trial: int) -> None:
        """It was handed, and waits again."""

    def next(self, trial: int) -> float: ...

    @property
    def saves(self) -> bool: ...

    def explored(self, trial: int, source: int) -> dict[str, float]:
        """
        What the scheduler searches itself, by path, as the trial has it that goes on from source.
        """

    def unblock(self) -> bool: ...

    def take_stopped(self) -> list[int]:
        """Trials that were stopped while they did not run."""

    def take_exploits(self) -> list[tuple[int, int]]: ...

    def status(self) -> str: ...

    def flush(self, synced: bool = False) -> None: ...

    def close(self) -> None: ...

def texts_of(packed: bytes) -> list[str]:
    """The JSON of each of the results."""

def cut_at(packed: bytes, count: int) -> bytes:
    """The first so many results, of which the last is the trial's last."""

def pack_result(text: str, iteration: int, time: float, score: float, scored: bool, done: bool = False, checkpoint: str = '', rank: float = 0.0) -> bytes:
    """One result as Experiment.results() takes them, one behind the other."""

def decoded_record(kind: int, body: bytes) -> dict:
    """A record of an experiment's journal."""

class Reports:
    """What an attempt of a trial reports, until the controller fetches it."""

    def __init__(self) -> None: ...

    class After(enum.Enum):
        """What the trial does after a report."""

        SLOW = 0
        """Nothing was done: it is not plain."""

        GO_ON = 1

        WAIT = 2

        LAST = 3

    def report(self, metrics: dict) -> Reports.After: ...

    def put(self, packed: bytes, done: bool) -> Reports.After: ...

    def wait(self) -> bool:
        """Until it is answered, or there is room. False: the trial is to end."""

    def take(self, wait_s: float = -1.0) -> tuple[bytes, int]:
        """Results as Experiment.results() takes them, and how many."""

    def hold(self) -> None:
        """The next result goes with what poke() will say."""

    def poke(self) -> None:
        """take() returns, whatever there is."""

    def answer(self, counted: int, next: float, ends: bool) -> None: ...

    def stamp(self) -> str:
        """JSON members: the date, and who this is."""

    @property
    def next(self) -> float: ...

    @property
    def metric(self) -> str: ...

    @metric.setter
    def metric(self, arg: str, /) -> None: ...

    @property
    def time_attr(self) -> str: ...

    @time_attr.setter
    def time_attr(self, arg: str, /) -> None: ...

    @property
    def sign(self) -> float: ...

    @sign.setter
    def sign(self, arg: float, /) -> None: ...

    @property
    def limits(self) -> list[tuple[str, float]]: ...

    @limits.setter
    def limits(self, arg: Sequence[tuple[str, float]], /) -> None: ...

    @property
    def before_s(self) -> float: ...

    @before_s.setter
    def before_s(self, arg: float, /) -> None: ...

    @property
    def began(self) -> float: ...

    @began.setter
    def began(self, arg: float, /) -> None: ...

    @property
    def last(self) -> float: ...

    @last.setter
    def last(self, arg: float, /) -> None: ...

    @property
    def iteration(self) -> int: ...

    @iteration.setter
    def iteration(self, arg: int, /) -> None: ...

    @property
    def reported(self) -> int: ...

    @reported.setter
    def reported(self, arg: int, /) -> None: ...

    @property
    def time(self) -> float: ...

    @time.setter
    def time(self, arg: float, /) -> None: ...

    @property
    def identity(self) -> str: ...

    @identity.setter
    def identity(self, arg: str, /) -> None: ...

def table_file(from_: str, to: str) -> bool:
    """
    progress.csv of a result.json. False, and `to` is to be written again, when there is more in it than numbers, texts and truths.
    """

def write_results(folder: str, lines: bytes) -> bool:
    """
    Both files of a trial that has ended with these results. False, and nothing done, when there are some already or when they are not plain.
    """

def simulate(scheduler: str, numbers: Mapping[str, float], workload: object, epochs: int, options: Mapping[str, float]) -> dict:
    """
    An experiment of a workload's methods begin, train, seen, exploit, values and ended.
    """

def simulate_table(scheduler: str, numbers: Mapping[str, float], scores: Sequence[float], seconds: Sequence[float], epochs: int, options: Mapping[str, float]) -> dict:
    """
    An experiment over a table, flat, a row a trial: scores, and seconds since the trial's beginning.
    """

def simulate_curves(trials: int, epochs: int, noise: float, seconds: float, seed: int) -> tuple[list[float], list[float]]:
    """A table of curves a - b t^-c: scores and seconds, flat."""

class Domain:
    """What a parameter may be, with Ray Tune's bounds and rounding."""

    @staticmethod
    def uniform(low: float, high: float, q: float = 0.0) -> Domain: ...

    @staticmethod
    def loguniform(low: float, high: float, q: float = 0.0) -> Domain: ...

    @staticmethod
    def randn(mean: float, sd: float, q: float = 0.0) -> Domain: ...

    @staticmethod
    def randint(low: int, high: int, q: int = 1) -> Domain: ...

    @staticmethod
    def lograndint(low: int, high: int, q: int = 1) -> Domain: ...

    @staticmethod
    def option(options: int) -> Domain: ...

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...

    @property
    def q(self) -> float: ...

    @property
    def whole(self) -> bool: ...

    @property
    def log(self) -> bool: ...

    @property
    def normal(self) -> bool: ...

    def contains(self, value: float) -> bool:
        """Whether a draw may be it."""

    def nearest(self, value: float) -> float:
        """What a draw may be that is nearest to it."""

    def draw(self, seed: int, trial: int, name: str) -> float:
        """A function of the three."""

class SearchSpace:
    """
    The grid's cells times samples; the values of each trial are a function of its number.
    """

    def __init__(self, axes: Sequence[tuple[str, Domain, bool]], seed: int, constant_grid_search: bool = False, fixed: Sequence[Sequence[bool]] = []) -> None: ...

    @property
    def cells(self) -> int: ...

    def size(self, samples: int) -> int:
        """How many trials so many samples make."""

    def variant(self, trial: int) -> list[float]:
        """Numbers, and indices of options; NaN where a point fixes it."""

    def sample_of(self, trial: int) -> int: ...

def keyed_uniform(seed: int, trial: int, name: str) -> float:
    """A number in [0, 1) that is a function of the three."""
