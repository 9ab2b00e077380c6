# %% [markdown]
# # Stop early, breed, resume
#
# Most trials are bad, and one sees it soon. Three ways to spend the time on the good ones: ASHA stops what is behind,
# population based training copies what is ahead, and an experiment that was ended goes on where it was.
#
# The trial here is a curve: it climbs to a height that its config decides, the faster the larger `speed` is.

# %%
import json
import tempfile
from pathlib import Path

import daybreak
from daybreak import tune
from daybreak.tune.schedulers import ASHAScheduler, PopulationBasedTraining

daybreak.init(num_cpus=4, ignore_reinit_error=True)
folder = Path(tempfile.mkdtemp())


def climb(config):
    for step in range(1, 28):
        tune.report({"score": config["height"] * (1 - 0.8**step)})


space = {"height": tune.grid_search([9, 3, 6, 1, 8, 2, 7, 4, 5])}


def search(name, scheduler=None):
    return tune.Tuner(
        climb,
        param_space=space,
        tune_config=tune.TuneConfig(metric="score", mode="max", scheduler=scheduler, max_concurrent_trials=9, seed=0),
        run_config=tune.RunConfig(storage_path=folder, name=name, verbose=0),
    ).fit()


everything = search("everything")
all_steps = sum(result.metrics["training_iteration"] for result in everything)

# %% [markdown]
# ## ASHA
#
# Rungs lie at `grace_period`, then each `reduction_factor` times further, up to `max_t`: with 1, 3 and 27 at 1, 3, 9, 27. At a
# rung a trial goes on only if it is among the best third of those that were there.

# %%
# solution:
scheduler = ASHAScheduler(max_t=27, grace_period=1, reduction_factor=3)
# fixme: an ASHAScheduler with rungs at 1, 3, 9 and 27
# > scheduler = None
# end

stopped = search("asha", scheduler)
steps = sum(result.metrics["training_iteration"] for result in stopped)
assert steps < all_steps, f"nothing was stopped: {steps} steps"
assert max(result.metrics["training_iteration"] for result in stopped) == 27, "the best go to the end"
print(f"ASHA: {steps} steps in place of {all_steps}")

# %% [markdown]
# ## A population
#
# Population based training changes a config while the trial lives: every few steps the worst copy the checkpoint of one of the
# best, and go on with its config, a little changed. For that a trial must save and go on: a class that has
# `save_checkpoint(dir)` and `load_checkpoint(dir)`. Here `x` should come near 5, whatever it began with.


# %%
class Walk(tune.Trainable):
    def setup(self, config):
        self.total = 0.0

    def step(self):
        self.total += 1 - abs(self.config["x"] - 5) / 10
        return {"total": self.total}

    def save_checkpoint(self, checkpoint_dir):
        # solution:
        Path(checkpoint_dir, "total.json").write_text(json.dumps(self.total))
        # fixme: write self.total into a file total.json of the folder, as JSON
        # > Path(checkpoint_dir, "total.json").write_text("0.0")
        # end

    def load_checkpoint(self, checkpoint_dir):
        self.total = json.loads(Path(checkpoint_dir, "total.json").read_text())


population = tune.Tuner(
    Walk,
    param_space={"x": tune.grid_search([0.0, 1.0, 2.0, 4.0])},
    tune_config=tune.TuneConfig(
        scheduler=PopulationBasedTraining(
            "training_iteration",
            "total",
            "max",
            perturbation_interval=2,
            hyperparam_mutations={"x": tune.uniform(0, 10)},
            synch=True,
        ),
        seed=0,
    ),
    run_config=tune.RunConfig(storage_path=folder, name="population", stop={"training_iteration": 12}, verbose=0),
).fit()
copied = (folder / "population" / "pbt_global.txt").read_text().splitlines()
assert copied, "nobody copied anybody"
worst = min(result.metrics["total"] for result in population)
assert worst > 12 * (1 - 4 / 10), f"who copied goes on from what the best had: {worst} is too little for that"
print(f"{len(copied)} copies; the worst has {worst:.2f} now, alone it would have {12 * 0.5}")

# %% [markdown]
# ## Resume
#
# Everything that happens is in a journal in the experiment's folder. Here two of the trials fail half way, for a file that
# they need is not there. `Tuner.restore(path, trainable, resume_errored=True).fit()` lets them go on from the last checkpoint
# that they saved; without `resume_errored` failed trials stay as they are. What has ended is not run again.


# %%
class Careful(Walk):
    def step(self):
        if self.iteration == 4 and self.config["x"] > 1.5 and not (folder / "data").exists():
            raise FileNotFoundError("the data is not there")
        return super().step()


first = tune.Tuner(
    Careful,
    param_space={"x": tune.grid_search([0.0, 1.0, 2.0, 4.0])},
    run_config=tune.RunConfig(
        storage_path=folder,
        name="careful",
        stop={"training_iteration": 8},
        checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1),
        verbose=0,
    ),
).fit()
assert first.num_errors == 2
(folder / "data").touch()

# solution:
tuner = tune.Tuner.restore(folder / "careful", Careful, resume_errored=True)
# fixme: failed trials are to go on, too
# > tuner = tune.Tuner.restore(folder / "careful", Careful)
# end
second = tuner.fit()
assert second.num_errors == 0, "the failed trials have not been tried again"
assert [result.metrics["training_iteration"] for result in second] == [8, 8, 8, 8]
last = second[3].metrics_dataframe
assert list(last["training_iteration"]) == [1, 2, 3, 4, 5, 6, 7, 8], (
    "four steps before the failure, four after, none twice"
)
print("all ended:", [round(result.metrics["total"], 2) for result in second])
