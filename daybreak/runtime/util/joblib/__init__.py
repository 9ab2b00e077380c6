"""joblib, and with it scikit-learn, on the runtime's processes.

from daybreak.util.joblib import register

register()
with joblib.parallel_config(backend="daybreak"):
    search.fit(X, y)
"""

__all__ = ["register", "register_ray"]


def register() -> None:
    """Makes `backend="daybreak"` known to joblib."""
    _register("daybreak")


def register_ray() -> None:
    """The same backend by Ray's name: `backend="ray"`."""
    _register("ray")


def _register(name: str) -> None:
    from joblib.parallel import register_parallel_backend

    from .ray_backend import RayBackend

    register_parallel_backend(name, RayBackend)
