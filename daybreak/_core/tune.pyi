from collections.abc import Mapping, Sequence


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

    ``scheduler``: "fifo", "asha", "hyperband", "median", "pbt" with its numbers, or "" when decisions are the caller's.
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

    def next(self, trial: int) -> float: ...

    @property
    def saves(self) -> bool: ...

    def unblock(self) -> bool: ...

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

class ResultWriter:
    """The JSON of plain results, as Experiment.results() takes them."""

    def __init__(self) -> None: ...

    def write(self, metrics: dict) -> tuple[bytes, float, bool] | None:
        """
        The packed result, its time, whether it is the last; None for one that is not plain, or in a new second.
        """

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
    def second(self) -> int: ...

    @second.setter
    def second(self, arg: int, /) -> None: ...

    @property
    def stamp(self) -> str: ...

    @stamp.setter
    def stamp(self, arg: str, /) -> None: ...

def table_of(lines: bytes) -> bytes | None:
    """
    progress.csv of the lines of a result.json; None when there is more in them than numbers, texts and truths.
    """

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
