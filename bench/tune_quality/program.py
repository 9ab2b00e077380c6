"""Runs cases of one side over seeds, in that side's environment: `program.py SIDE.py OUT.json CASES SEEDS`. It writes after each
case, and what the file has already is not run again."""

import importlib.util
import json
import sys
import time
from pathlib import Path

from bench.tune_quality.functions import CASES, FUNCTIONS, regrets


def main() -> None:
    side, out, wanted, seeds = sys.argv[1], Path(sys.argv[2]), sys.argv[3].split(","), int(sys.argv[4])
    spec = importlib.util.spec_from_file_location("side", side)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = json.loads(out.read_text()) if out.exists() else {"versions": module.versions(), "cases": {}}
    for case in CASES:
        if case.name not in wanted:
            continue
        rows = found["cases"].setdefault(case.name, {"budgets": list(case.budgets), "seeds": []})["seeds"]
        started = time.perf_counter()
        for seed in range(len(rows), seeds):
            ask, tell = module.study(case, seed, FUNCTIONS[case.function].objectives)
            rows.append(regrets(case, seed, ask, tell))
        print(f"· {case.name}: {len(rows)} seeds, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
