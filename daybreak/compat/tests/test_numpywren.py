import importlib

from daybreak.compat import numpywren as table


def test_a_numpywren_program_runs_as_it_stands(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("DAYBREAK_NUMPYWREN_FOLDER", str(tmp_path))
    table.install()
    try:
        import numpy as np
        import pytest
        from numpywren import job_runner  # type: ignore[import-not-found]
        from numpywren.alg_wrappers import cholesky  # type: ignore[import-not-found]
        from numpywren.matrix_init import local_numpy_init  # type: ignore[import-not-found]

        program, meta = cholesky(local_numpy_init(np.eye(6) * 4, (4, 4)))
        program.start()
        job_runner.lambdapack_run(program, timeout=60)
        program.wait()
        assert np.array_equal(meta["outputs"][0].numpy(), np.eye(6) * 2)
        with pytest.raises(ImportError, match=r"daybreak\.linalg\.lambdapack"):
            importlib.import_module("numpywren.compiler")
    finally:
        table.uninstall()
