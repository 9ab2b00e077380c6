"""`./dev test --chaos=SECONDS [--seed=N] [--operations=N]`: programs of one seed after another for so long; with 0 seconds the one
of the seed alone. A program that differs from its model is made shorter, and the command that repeats it is printed."""

from __future__ import annotations

import argparse
import sys
import time

from daybreak.runtime.tests.chaos import play, program

OPERATIONS = 60
_TRIES = 3  # of a shorter program, before it counts as one that does not fail


def fails(seed: int, operations: int) -> list[str]:
    for _ in range(_TRIES):
        if wrong := play.run(program.make(seed, operations)).wrong:
            return wrong
    return []


def shortest(seed: int, operations: int, wrong: list[str], seconds: float) -> tuple[int, list[str]]:
    """The shortest beginning that was seen to fail, by halves, and what was wrong with it."""
    end = time.monotonic() + seconds
    low, high = 0, operations
    while high - low > 1 and time.monotonic() < end:
        middle = (low + high) // 2
        if found := fails(seed, middle):
            high, wrong = middle, found
        else:
            low = middle
    return high, wrong


def report(seed: int, operations: int, wrong: list[str]) -> str:
    said = "\n  ".join(wrong)
    return (
        f"seed {seed} with {operations} operations:\n  {said}\n"
        f"again: ./dev test --chaos=0 --seed={seed} --operations={operations} runtime"
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev test --chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--operations", type=int, default=OPERATIONS)
    given = parser.parse_args(arguments)
    end = time.monotonic() + given.seconds
    seed, failed, calls, killed, stopped, lost, said = given.seed, 0, 0, 0, 0, 0, time.monotonic()
    while seed == given.seed or time.monotonic() < end:
        outcome = play.run(program.make(seed, given.operations))
        calls, killed, stopped = (
            calls + outcome.calls,
            killed + len(outcome.done.killed),
            stopped + outcome.done.stopped,
        )
        lost += outcome.done.lost
        if outcome.wrong:
            failed += 1
            print(report(seed, given.operations, outcome.wrong), flush=True)
            length, wrong = shortest(seed, given.operations, outcome.wrong, min(60.0, given.seconds))
            if length < given.operations:
                print(f"shorter: {report(seed, length, wrong)}", flush=True)
        seed += 1
        if time.monotonic() - said > 30:
            said = time.monotonic()
            print(f"{seed - given.seed} programs, {failed} failed, {calls} calls, {killed} killed", flush=True)
    print(
        f"chaos: seeds {given.seed} to {seed - 1}: {failed} failed; {calls} calls ran, {killed} processes killed, "
        f"{stopped} stopped, {lost} spilled files lost"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
