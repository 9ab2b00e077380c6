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
