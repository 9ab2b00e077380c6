"""The Pong demo: an agent learns, its runs are tracked, its policy is encrypted and granted. Every check is written down."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import daybreak
from daybreak import rl, track

from ..steps import Reporter, Steps
from . import games, lab, recordings, render, serving
from .training import HELD_OUT_SEED, RECORDED_SEED, Trained, imitate, train

__all__ = ["Options", "run"]

# What is asked of the held-out games.
MIN_RETURN_RATIO = 10.0
MIN_WIN_RATE = 0.6

# As in 2018: what a player recorded, and what came of recording carelessly.
CLEAN_ROWS = 475
DIRTY_ROWS = 758


@dataclass(frozen=True)
class Options:
    """What a person may choose."""

    out: Path = Path("out/demo")
    seed: int = 0
    workers: int = 2
    max_steps: int = 5_000_000  # of training, if the aim is not reached before
    episodes: int = 200  # held-out games
    engine: str = "local"  # of the runtime while the agent learns: "local" or "ray"; it is served by Daybreak's own
    port: int = 1337  # of the served policy and its page; another one when it is taken


@dataclass
class Learned:
    """A policy, the run that it comes from, and how it played the held-out games."""

    policy: rl.Policy
    run_id: str
    played: games.Games


class Story:
    """One run of the demo, chapter by chapter. Each chapter uses what those before it found."""

    def __init__(self, options: Options, reporter: Reporter) -> None:
        self.options = options
        self.reporter = reporter
        self.steps = Steps(reporter)
        self.result: dict[str, Any] = {}

    def learn(self) -> None:
        """A random policy and one that learns by playing, on rollout actors."""
        options, step = self.options, self.steps.step
        with step("runtime", f"start the runtime for {options.workers} rollout actors") as found:
            daybreak.init(num_cpus=options.workers + 1, ignore_reinit_error=True, engine=options.engine)
            found.text = "tasks, actors and shared memory are up" + " on Ray" * (options.engine == "ray")
        try:
            with step("random", f"let a random policy play {options.episodes} held-out games") as found:
                self.random = games.play(games.random_actions(HELD_OUT_SEED), options.episodes, HELD_OUT_SEED)
                found.text = f"mean return {self.random.mean:.1f}, wins {self.random.win_rate:.0%}"
            with step("train", f"train PPO on {options.workers} rollout actors, tracked") as found:
                params = {"algo": "ppo", "seed": options.seed, "max_steps": options.max_steps}
                with track.run("pong-rl", params=params, tags={"demo": "pong"}) as run:
                    self.trained = train(
                        options.workers, options.seed, options.max_steps, self.random.mean, self.reporter.progress, run
                    )
                self.train_run = run.id
                found.passed = self.trained.validated >= MIN_WIN_RATE
                found.text = _training_text(self.trained)
            self.train_seconds = found.seconds
        finally:
            daybreak.shutdown()

    def imitate(self) -> None:
        """Two imitators of a recorded player, and why one of them is worse."""
        step = self.steps.step
        clean = recordings.record_player(CLEAN_ROWS, RECORDED_SEED)
        dirty = recordings.with_random_labels(clean, DIRTY_ROWS - CLEAN_ROWS, RECORDED_SEED + 500_000)
        self.imitators: dict[str, Learned] = {}
        with step(
            "imitate", f"imitate a scripted player: {CLEAN_ROWS} clean rows, {DIRTY_ROWS} carelessly recorded"
        ) as found:
            for name, recording in (("clean", clean), ("dirty", dirty)):
                self.imitators[name] = self._imitator(name, recording)
            wins = {name: learned.played.win_rate for name, learned in self.imitators.items()}
            found.passed = wins["clean"] > wins["dirty"]
            found.text = " and ".join(f"{name} wins {share:.0%}" for name, share in wins.items())
        with step("diff", "ask the two runs what differs") as found:
            difference = track.diff(self.imitators["clean"].run_id, self.imitators["dirty"].run_id)
            recording_diff = difference.artifacts["recording"]
            accuracy = difference.metrics["validation_accuracy"]
            found.passed = not difference.code and recording_diff.rows_added == DIRTY_ROWS - CLEAN_ROWS
            found.text = (
                f"the same code and parameters; {recording_diff.summary}; "
                + f"accuracy on held-out rows {accuracy[0]:.0%} and {accuracy[1]:.0%}"
            )

    def _imitator(self, name: str, recording: bytes) -> Learned:
        with track.run(
            "pong-imitation", params={"algo": "bc", "seed": self.options.seed}, tags={"recording": name}
        ) as run:
            run.artifact("recording", recording)
            policy, _ = imitate(recording, self.options.seed, run)
            played = games.play_policy(policy, self.options.episodes, HELD_OUT_SEED)
            run.log({"held_out_win_rate": played.win_rate, "held_out_mean_return": played.mean})
        return Learned(policy, run.id, played)

    def compare(self) -> None:
        """The agent that learned by playing, on games that nothing has seen."""
        options, step = self.options, self.steps.step
        with step("policy_file", "write the policy into the lab's folder, read it back") as found:
            path = Path(self.trained.policy.save(options.out / "lab" / "policy.safetensors"))
            policy = rl.Policy.load(path)
            sample = np.random.default_rng(0).random((256, policy.observation_size), np.float32)
            found.passed = bool(
                np.array_equal(policy.compute_actions(sample), self.trained.policy.compute_actions(sample))
            )
            found.text = f"{path}: {path.stat().st_size:,} bytes, the same actions"
        with step("mean_return", f"let that policy play the {options.episodes} held-out games") as found:
            played = games.play_policy(policy, options.episodes, HELD_OUT_SEED)
            ratio = played.mean / self.random.mean
            found.passed = ratio >= MIN_RETURN_RATIO
            found.text = f"mean return {played.mean:,.1f}, {ratio:.1f} x random (at least {MIN_RETURN_RATIO:.0f} x)"
        self.agent = Learned(policy, self.train_run, played)
        with step("win_rate", "count its wins against the scripted opponent") as found:
            found.passed = played.win_rate >= MIN_WIN_RATE
            undecided = options.episodes - int(played.won.sum() + played.lost.sum())
            found.text = f"{played.win_rate:.1%} won (at least {MIN_WIN_RATE:.0%})"
            if undecided:
                found.text += f"; {undecided} undecided after {games.MAX_STEPS:,} steps count as not won"
        with step("beats_imitation", "hold it against the imitators on the same games") as found:
            best = max(learned.played.win_rate for learned in self.imitators.values())
            found.passed = played.win_rate > best
            found.text = f"{played.win_rate:.0%} won by playing itself, {best:.0%} by imitating"
        self.undecided = undecided

    def guard(self) -> None:
        """The policies are encrypted, and who may open them is shown."""
        out = self.options.out
        learned = {"imitation": self.imitators["clean"], "rl": self.agent}

        def keep(name: str, ciphertext: bytes) -> None:
            with track.run(resume=learned[name].run_id) as run:
                run.artifact("policy", ciphertext)

        policies = {name: item.policy for name, item in learned.items()}
        self.policies = policies
        self.guarded = guarded = lab.guard(self.steps, out, policies, keep)
        with self.steps.step("tracked", "read the encrypted policies back from their runs") as found:
            kept = {name: track.load(_artifact(item.run_id, "policy")) for name, item in learned.items()}
            found.passed = kept == guarded.ciphertexts
            found.text = "the same bytes, found by run and name"

    def serve(self) -> serving.Stand:
        """Both policies are served behind the gate, and somebody plays. The caller closes what is returned."""
        lineages = {
            "imitation": serving.lineage(self.imitators["clean"].run_id, "validation_accuracy"),
            "rl": serving.lineage(self.agent.run_id, "episode_reward_mean"),
        }
        stand = serving.open_stand(self.steps, self.guarded, self.options.out, lineages, self.options.port)
        try:
            serving.play_and_be_revoked(self.steps, stand, self.guarded)
        except BaseException:
            stand.close()
            raise
        return stand

    def search(self) -> None:
        """In the end nothing lies in the clear but in the lab."""
        out = self.options.out
        with self.steps.step(
            "canaries", "look for policies and secrets outside the lab's folder, in the server's too"
        ) as found:
            canaries = {name: _weights(policy) for name, policy in self.policies.items()}
            parties = ("lab", "trainer", "deployer", "stranger")
            keys = {f"{name}'s key": lab.secret_of(out / name) for name in parties}
            leaked = lab.leaks(out / "public", canaries | keys)
            leaked += lab.leaks(out / "server", canaries | keys)
            for name in parties[1:]:
                leaked += lab.leaks(
                    out / name, canaries | {of: key for of, key in keys.items() if of != f"{name}'s key"}
                )
            found.passed = not leaked and len(lab.leaks(out / "lab", canaries)) > 0
            found.text = "; ".join(leaked) or "none; in the lab's folder they are found, so the search can find"

    def draw(self) -> None:
        """Pictures, which show no weights."""
        out = self.options.out
        with self.steps.step("pictures", "draw the learning curve and a rally") as found:
            render.learning_curve(
                self.trained.returns,
                self.trained.win_rates,
                out / "learning_curve.png",
                random_mean=self.random.mean,
                kept=self.trained.steps,
                subtitle=f"PPO on {self.options.workers} rollout actors, {self.train_seconds:.1f} s",
            )
            rally = _rally(self.agent.policy, self.agent.played)
            render.match_gif(rally, out / "match.gif")
            steps = rally.first_step + len(rally.moments) - 1
            found.text = f"learning_curve.png; match.gif, a rally of {steps:,} steps at its end"

    def summary(self) -> dict[str, Any]:
        """What `result.json` holds."""
        trained, played = self.trained, self.agent.played
        return {
            "passed": all(check["passed"] for check in self.steps.checks),
            "trained_mean": played.mean,
            "random_mean": self.random.mean,
            "win_rate": played.win_rate,
            "random_win_rate": self.random.win_rate,
            "imitation_win_rates": {name: learned.played.win_rate for name, learned in self.imitators.items()},
            "episodes": self.options.episodes,
            "undecided": self.undecided,
            "max_episode_steps": games.MAX_STEPS,
            "train_seconds": round(self.train_seconds, 3),
            "steps": trained.total_steps,
            "policy_steps": trained.steps,
            "workers": self.options.workers,
            "worker_deaths": trained.worker_deaths,
            "seed": self.options.seed,
            "runs": {"rl": self.agent.run_id, **{name: learned.run_id for name, learned in self.imitators.items()}},
            "checks": self.steps.checks,
        }


def _artifact(run_id: str, name: str) -> track.Artifact:
    return next(artifact for artifact in reversed(track.get(run_id).artifacts) if artifact.name == name)


def _weights(policy: rl.Policy) -> bytes:
    """Bytes that any copy of the policy's file holds: some of its weights."""
    data = policy.to_bytes()
    return data[len(data) // 2 : len(data) // 2 + 64]


def _training_text(trained: Trained) -> str:
    text = f"kept the policy of {trained.steps / 1e6:.2f} M steps, which wins {trained.validated:.0%} of its validation games"
    return f"{text}; {trained.worker_deaths} actors died and were replaced" if trained.worker_deaths else text


def run(
    options: Options, reporter: Reporter, stay: Callable[[serving.Stand, dict[str, Any]], None] | None = None
) -> dict[str, Any]:
    """The whole demo. Returns what it also writes to `result.json`; its `passed` says whether every check did.

    Writes into `options.out`: learning_curve.png, match.gif, result.json, and a folder for each party: `lab` (the tracked runs, the
    policies in the clear, the keys of the namespace), `trainer`, `deployer`, `stranger`, `server`, and `public`. The server is
    there until `stay(stand, result)` returns.
    """
    out = options.out
    for name in (
        "lab",
        "trainer",
        "deployer",
        "stranger",
        "server",
        "public",
    ):  # an older story must not pass for this one
        shutil.rmtree(out / name, ignore_errors=True)
    (out / "lab").mkdir(mode=0o700, parents=True)
    (out / "result.json").unlink(missing_ok=True)
    track.init(out / "lab" / "runs")
    story = Story(options, reporter)
    story.learn()
    story.imitate()
    story.compare()
    story.guard()
    story.draw()
    try:
        stand = story.serve()
        try:
            story.search()
            result = story.summary()
            (out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
            if stay is not None:
                stay(stand, result)
        finally:
            stand.close()
    finally:
        daybreak.shutdown()
    return result


# So many steps of the rally are drawn, those before its point: a ball of Pong gets faster and faster.
_DRAWN_STEPS = 240


def _rally(policy: rl.Policy, played: games.Games) -> render.Rally:
    """The end of the shortest game won (else of the shortest game), with the score of the games before it."""
    index = min(range(len(played.won)), key=lambda i: (not played.won[i], played.lengths[i]))
    recording = games.record(policy, HELD_OUT_SEED + index)
    frames = recording.frames[-_DRAWN_STEPS:]
    return render.Rally(
        court={name: frames[0][name] for name in render.COURT_SIZES},
        moments=[render.Moment(*(frame[name] for name in render.Moment._fields)) for frame in frames],
        agent_won=recording.won,
        agent_score=int(played.won[:index].sum()),
        opponent_score=int(played.lost[:index].sum()),
        first_step=len(recording.frames) - len(frames),
    )
