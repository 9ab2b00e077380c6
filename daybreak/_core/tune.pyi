from collections.abc import Sequence
import os


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

    @staticmethod
    def random(seed: int | None = None) -> SamplerFactory: ...

class Trial:
    """One that runs here: asks for its parameters, reports on its way."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:
        """A number in [low, high]; with a step low, low + step, ..."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number in [low, high]."""

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

    def __init__(self, storage: Storage, name: str, directions: Sequence[int], *, create: bool = True, load_if_exists: bool = False, seed: int | None = None, sampler: SamplerFactory | None = None, synced_asks: bool = False, synced_tells: bool = True, dead_trials: str = 'retry') -> None: ...

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
