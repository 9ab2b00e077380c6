"""For programs that drive Clipper by its own client, `clipper_admin`: what starts containers there starts our replicas.

    from clipper_admin import ClipperConnection
    from clipper_admin.deployers import python as deployer
    from daybreak.serve import clipper

    connection = clipper.connection_class(ClipperConnection)(clipper.ContainerManager())
    connection.start_clipper()
    connection.register_application("flowers", "floats", "Default", 100_000)
    deployer.deploy_python_closure(connection, "flowers", 1, "floats", predict, base_image="any")

The client is not changed: its class for a connection builds images with Docker, and the subclass keeps the function instead.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daybreak.base import errors
from daybreak.serve import checks
from daybreak.serve.api import MAX_MODEL_BYTES
from daybreak.serve.client import AdminClient
from daybreak.serve.server import Server
from daybreak.serve.starting import start

__all__ = ["ContainerManager", "connection_class"]

FUNCTION_FILE = "func.pkl"  # what Clipper's deployers write into the directory that becomes an image
MAX_IMAGES = 256
GRACE_S = 30


class ContainerManager:
    """Clipper's interface of that name: starts a server in this process, or connects to one that runs.

    cluster_name: the first part of images' names, shown in the client's log.
    address: of the management of a server that runs ("host:port"), with its token; query_address and metrics_address beside it.
    options: of `serve.start`, for `start_clipper`.
    """

    def __init__(
        self,
        cluster_name: str = "daybreak",
        *,
        address: str | None = None,
        token: str | None = None,
        query_address: str | None = None,
        metrics_address: str | None = None,
        **options: Any,
    ) -> None:
        if (address is None) != (token is None):
            raise errors.InvalidArgumentError("address and token go together: give both, or neither")
        self.cluster_identifier = cluster_name
        self._address, self._token = address, token
        self._query_address, self._metrics_address = query_address, metrics_address
        self._options = options
        self._server: Server | None = None
        self._client: AdminClient | None = None
        self._images: dict[str, bytes] = {}

    # Starting and ending.

    def start_clipper(self, *images_and_sizes: Any, **more: Any) -> None:
        """Starts a server in this process. Images, cache and thread sizes are Docker's matter and not looked at."""
        if self._client is not None:
            raise errors.FailedPreconditionError(f"cluster {self.cluster_identifier} runs already: stop_all() first")
        self._server = start(**self._options)
        self._address = self._server.admin_address
        self._token = Path(self._server.admin_token_file).read_text().strip()
        self._query_address, self._metrics_address = self._server.query_address, self._server.metrics_address
        self._client = AdminClient(self._address, self._token)

    def connect(self) -> None:
        """To the server at the address. UnavailableError when it does not answer, UnauthenticatedError for a wrong token."""
        if self._address is None or self._token is None:
            raise errors.FailedPreconditionError(
                "no server to connect to: give ContainerManager(address=, token=), or call start_clipper()"
            )
        client = AdminClient(self._address, self._token)
        found = client.get("status")
        self._query_address = self._query_address or found["query"]
        self._metrics_address = self._metrics_address or found["metrics"]
        self._client = client

    def _connected(self) -> AdminClient:
        if self._client is None:
            raise errors.FailedPreconditionError("not connected: call start_clipper() or connect() first")
        return self._client

    def stop_all(self, graceful: bool = True) -> None:
        """Ends the server and its replicas; graceful: after it has answered what it holds."""
        client, self._client = self._client, None
        if self._server is not None:
            if graceful:
                self._server.drain(GRACE_S)
            self._server.stop()
            self._server = None
        elif client is not None:
            client.post("drain", timeout_s=GRACE_S if graceful else 0)

    # Models.

    def build_image(self, name: str, version: str, directory: str, registry: str | None) -> str:
        """Keeps the pickled function of a directory under the name that an image would have."""
        path = Path(directory) / FUNCTION_FILE
        try:
            with open(path, "rb") as file:
                data = file.read(MAX_MODEL_BYTES + 1)
        except OSError as error:
            raise errors.InvalidArgumentError(
                f"no {FUNCTION_FILE} in {directory} ({error.strerror}): only Python closures can be deployed here"
            ) from error
        if not data or len(data) > MAX_MODEL_BYTES:
            raise errors.InvalidArgumentError(
                f"{path} has {len(data):,} bytes or more; 1 to {MAX_MODEL_BYTES:,} are allowed"
            )
        image = f"{self.cluster_identifier}-{name}:{version}"
        image = image if registry is None else f"{registry}/{image}"
        if image not in self._images and len(self._images) >= MAX_IMAGES:
            del self._images[next(iter(self._images))]
        self._images[image] = data
        return image

    def deploy_model(self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1) -> None:
        """Starts replicas of an image. The client registers the version afterwards."""
        if image not in self._images:
            raise errors.NotFoundError(
                f"no image {checks.shown(image)}: build_model() of this connection makes one; images of Docker cannot run here"
            )
        self._connected().send(
            "replicas",
            self._images[image],
            name=name,
            version=str(version),
            input_type=input_type,
            replicas=int(num_replicas),
        )

    def _versions(self) -> dict[tuple[str, str], dict[str, Any]]:
        found = self._connected().get("status")["models"]
        return {(model["name"], each["version"]): each for model in found for each in model["versions"]}

    def get_num_replicas(self, name: str, version: str) -> int:
        """How many replicas there are and should be."""
        found = self._versions().get((name, str(version)))
        return len(found["replicas"]) if found is not None else 0

    def set_num_replicas(self, name: str, version: str, input_type: str, image: str, num_replicas: int) -> None:
        """So many replicas. New ones are ready when this returns."""
        self._connected().post("scale", model=name, version=str(version), replicas=int(num_replicas))

    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """Ends all replicas of these versions; those that are not there are let be."""
        for name, versions in models.items():
            for version in versions:
                with contextlib.suppress(errors.NotFoundError):
                    self._connected().post("scale", model=name, version=str(version), replicas=0)

    def stop_all_model_containers(self) -> None:
        """Ends all replicas."""
        for name, version in self._versions():
            self.stop_models({name: [version]})

    def get_logs(self, logging_dir: str) -> list[str]:
        """Writes what each replica printed into a file of the directory, which is made; gives their paths."""
        folder = os.path.abspath(os.path.expanduser(logging_dir))
        os.makedirs(folder, exist_ok=True)
        paths = []
        for name in sorted({name for name, _ in self._versions()}):
            for replica, text in self._connected().get("logs", model=name).items():
                path = os.path.join(folder, f"model_{name}_{replica.replace('/', '_')}.log")
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                paths.append(path)
        return paths

    # Addresses. The token rides in the management's, so that the client sends it by itself (HTTP Basic).

    def get_admin_addr(self) -> str:
        self._connected()
        return f"token:{self._token}@{self._address}"

    def get_query_addr(self) -> str:
        self._connected()
        return str(self._query_address)

    def get_metric_addr(self) -> str:
        self._connected()
        return str(self._metrics_address)

    def __repr__(self) -> str:
        return f"ContainerManager({self.cluster_identifier!r}, {self._address or 'not connected'})"


def connection_class(base: Any) -> Any:
    """A subclass of `clipper_admin.ClipperConnection` that needs no Docker: `build_model` keeps the function in the manager."""

    class Connection(base):  # type: ignore[misc]
        def build_model(
            self,
            name: str,
            version: str,
            model_data_path: str,
            base_image: str,
            container_registry: str | None = None,
            pkgs_to_install: Sequence[str] | None = None,
        ) -> str:
            """Keeps the function as an "image" named CLUSTER-NAME:VERSION. base_image is not looked at."""
            if pkgs_to_install:
                raise errors.UnimplementedError(
                    f"pkgs_to_install={list(pkgs_to_install)!r}: replicas use the server's own packages; install them there"
                )
            return str(self.cm.build_image(name, str(version), model_data_path, container_registry))

    Connection.__name__ = Connection.__qualname__ = base.__name__
    return Connection
