from collections.abc import Callable, Mapping, Sequence


class AdminRequest:
    """A request to the admin port whose caller may ask. Answer it once."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def query(self) -> str: ...

    @property
    def remote(self) -> str: ...

    @property
    def body(self) -> bytes: ...

    def header(self, name: str) -> str:
        """Its value, or an empty text."""

    def respond(self, status: int, content_type: str, body: bytes) -> None: ...

class Core:
    """
    The server: apps, models, queues, replicas. Any thread may call any function.
    """

    def __init__(self, *, host: str = '127.0.0.1', query_port: int = 0, admin_port: int = 0, metrics_port: int = 0, admin_token: str, tls: tuple[str, str] | None = None, hosts: Sequence[str] = [], origins: Sequence[str] = [], site: Mapping[str, tuple[str, bytes]] = {}, site_headers: Mapping[str, str] = {}, threads: int = 0, body_bytes: int = 16777216, server_id: str = '', deploy_gate: object | None = None, access_log: bool = False) -> None:
        """Listens when it returns. UnavailableError when a port is taken."""

    @property
    def query_port(self) -> int: ...

    @property
    def admin_port(self) -> int: ...

    @property
    def metrics_port(self) -> int: ...

    def add_app(self, name: str, *, input_type: str, default_output: str | None, slo_us: int, overload: str = 'default', gate: object | None = None) -> None:
        """AlreadyExistsError; InvalidArgumentError for a bad name, type or time."""

    def delete_app(self, name: str) -> None:
        """NotFoundError when there is none."""

    def link(self, app: str, model: str) -> None: ...

    def unlink(self, app: str, model: str) -> None: ...

    def add_version(self, model: str, version: str, *, input_type: str, batch_size: int = -1, lineage: str = 'null') -> None:
        """
        Not current by itself. AlreadyExistsError; InvalidArgumentError when the type is another than the model's.
        """

    def delete_version(self, model: str, version: str) -> None:
        """FailedPreconditionError while it has replicas."""

    def set_current(self, model: str, version: str) -> None:
        """Requests that come from now on, and those that wait, go there."""

    def add_native_replica(self, model: str, version: str, native: object) -> int:
        """A thread of this process. Returns its id."""

    def add_channel(self, model: str, version: str) -> tuple[int, str]:
        """
        A replica that another process will be: its id, and the address for replica_attach(), a secret that is good once.
        """

    def remove_replica(self, id: int, drain_s: float = 5.0) -> bool:
        """False when it was cut short, or is not there."""

    def replicas(self) -> list[dict]: ...

    def wait_event(self, timeout_s: float) -> tuple[str, int] | None:
        """The next ('ready' | 'dead', replica id)."""

    def next_admin_request(self, timeout_s: float) -> AdminRequest | None: ...

    def stats(self) -> dict:
        """Apps and models, with what was counted."""

    def drain(self, timeout_s: float) -> bool:
        """Takes nothing new, answers what is here. False when that took longer."""

    def stop(self) -> None: ...

class ReplicaChannel:
    """A replica's end of its channel to the server. One thread at a time."""

    def ready(self) -> None:
        """Requests may come. UnavailableError when the server is gone."""

    def serve(self, predict: Callable, batch: str = 'list', output: str = 'json') -> None:
        """
        Answers batches until the server removes the replica or goes. `predict` takes a list of inputs (numpy arrays, read-only; str; bytes), or with batch='array' one array of shape [inputs, elements] when all are equally long, and returns as many results. An exception is the error of its batch. output='str': str() of each result.
        """

def replica_attach(address: str) -> ReplicaChannel:
    """
    In a replica's process: its end of the channel that Core.add_channel() made.
    """
