"""From a run to the served version and back: what was deployed from an artifact says which run it came from."""

from pathlib import Path

from daybreak import rl, serve, track


def test_a_policy_deployed_from_its_artifact_names_run_and_hash_everywhere(tmp_path: Path) -> None:
    before = track.root()
    track.init(tmp_path / "runs")
    try:
        with track.run("cartpole") as run:
            kept = run.artifact("policy", rl.PPO("CartPole-v1", seed=1).policy.to_bytes())
        [found] = track.get(run.id).artifacts
        assert found.run == kept.run == run.id
        with serve.start(query_port=0, admin_port=0, metrics_port=0) as server:
            server.deploy("a", found, version=1, default=0)
            server.deploy("a", track.load(found), version=2, default=0)
            shown = {entry["version"]: entry["lineage"] for entry in server.models()[0]["versions"]}
            for version in ("1", "2"):
                assert shown[version]["run"] == run.id and shown[version]["artifact"] == found.id
    finally:
        track.init(before)
