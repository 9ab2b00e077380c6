"""numpywren's names: BigMatrix, the programs over it, and what runs them."""

from .aliases import Aliases

__all__ = ["ALIASES", "install", "install_in_worker", "uninstall"]

_HERE = "daybreak.linalg.numpywren"
_SERVERLESS = "programs run in this process, on all cores: no queue, no redis, no leases"
_MATRIX = "BigMatrix BigMatrixView BigSymmetricMatrix"

ALIASES = Aliases(
    "numpywren",
    {
        **{f"numpywren.matrix.{name}": f"{_HERE}.bigmatrix:{name}" for name in _MATRIX.split()},
        "numpywren.matrix_utils.constant_zeros": f"{_HERE}.bigmatrix:constant_zeros",
        **{
            f"numpywren.matrix_init.{name}": f"{_HERE}.running:{name}"
            for name in ("local_numpy_init", "reshard_down", "shard_matrix")
        },
        "numpywren.binops.gemm": f"{_HERE}.running:binop_gemm",
        **{f"numpywren.alg_wrappers.{name}": f"{_HERE}.running:{name}" for name in ("cholesky", "gemm", "qr", "tsqr")},
        "numpywren.job_runner.lambdapack_run": f"{_HERE}.running:lambdapack_run",
        "numpywren.lambdapack.LambdaPackProgram": f"{_HERE}.running:LambdaPackProgram",
    },
    {
        "numpywren.alg_wrappers.bdfac": "daybreak.linalg.svd gives singular values",
        "numpywren.compiler": "tile programs are daybreak.linalg.lambdapack's",
        "numpywren.frontend": "tile programs are daybreak.linalg.lambdapack's",
        "numpywren.kernels": "kernels are named in tile programs: daybreak.linalg.kernels",
        "numpywren.algs": "the algorithms as tile programs are daybreak.linalg.programs",
        "numpywren.control_plane": _SERVERLESS,
        "numpywren.redis_utils": _SERVERLESS,
        "numpywren.uops": "daybreak.linalg.Matrix has numpy's elementwise functions",
    },
)

install = install_in_worker = ALIASES.install
uninstall = ALIASES.uninstall
