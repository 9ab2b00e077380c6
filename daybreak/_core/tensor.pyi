from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray


def write_container(tensors: Sequence[tuple[str, str, Sequence[int], Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)]]], metadata: Mapping[str, str]) -> bytes:
    """
    The bytes of a container that holds (name, safetensors dtype, shape, bytes) tensors.
    """

class Container:
    """A parsed container file; it owns its bytes."""

    @staticmethod
    def parse(bytes: bytes) -> Container:
        """
        Verifies all of the bytes: DataLossError when they are truncated or altered.
        """

    @property
    def metadata(self) -> dict[str, str]: ...

    @property
    def names(self) -> list[str]: ...

    def dtype(self, name: str) -> str:
        """The safetensors name of the tensor's dtype, such as 'F32'."""

    def shape(self, name: str) -> tuple[int, ...]: ...

    def data(self, name: str) -> Annotated[NDArray[numpy.uint8], dict(shape=(None,), writable=False)]:
        """
        The tensor's bytes, read-only and not copied; they keep the container alive.
        """
