# %% [markdown]
# # One actor, many callers: handles
#
# Three experiments run, and you want to see how far they are while they run, not at the end. They need a place to write
# to that all of them, and you, can reach. An actor is such a place, and its **handle** may be passed to tasks like any
# value: whoever has the handle may call the actor.

# %%
import time

import daybreak

daybreak.init(num_cpus=4, ignore_reinit_error=True)


@daybreak.remote
class Journal:
    def __init__(self):
        self.lines = {}

    def write(self, experiment, line):
        self.lines.setdefault(experiment, []).append(line)

    def read(self):
        return self.lines


# %% [markdown]
# ## Pass it on
#
# A plain object would be copied into each task, and what the tasks write into their copies is lost.
#
# Calls of one caller run in order; calls of several callers meet in any order. So an experiment waits with `get` until
# its line is written: when it has ended, its lines are there.

# %%
# solution:
journal = Journal.remote()
# fixme: make an actor of class Journal
# > journal = None
# end

assert hasattr(journal, "write"), "journal is no actor: Journal.remote() makes one and returns its handle"


# %%
@daybreak.remote
def experiment(name, journal):
    for step in range(4):
        time.sleep(0.1)
        # solution:
        daybreak.get(journal.write.remote(name, f"step {step}"))
        # fixme: have the journal write down `step ...` for this experiment
        # > print(name, f"step {step}")
        # end
    return name


# %% [markdown]
# ## Look in while they run
#
# `wait` with a timeout gives the references that are finished and those that are not: a look that does not stand still
# until the end.

# %%
running = [experiment.remote(name, journal) for name in ("red", "green", "blue")]
seen = []
while running:
    _, running = daybreak.wait(running, num_returns=len(running), timeout=0.05)
    lines = daybreak.get(journal.read.remote())
    seen.append(sum(map(len, lines.values())))
print("lines in the journal, each time we looked:", seen)

# %%
lines = daybreak.get(journal.read.remote())
expected = [f"step {step}" for step in range(4)]
assert sorted(lines) == ["blue", "green", "red"], (
    f"each experiment writes under its name; the journal has {sorted(lines)}"
)
assert all(written == expected for written in lines.values()), f"each writes its four steps in order, not {lines}"
assert seen == sorted(seen), f"a journal only grows, but you saw {seen}"
assert seen[-1] == 12, f"three experiments of four steps write 12 lines, but you saw {seen[-1]} at the end"

daybreak.shutdown()
