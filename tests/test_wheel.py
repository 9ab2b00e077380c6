"""The wheel in a root directory that holds a Python, the libraries it needs, and nothing of ours."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import core
from tools.scratch import copy_of_the_repository

Inside = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.timeout(900)  # the first test waits for the wheel and for what it depends on
OURS_ALONE = ("libfmt", "libxxhash", "libsodium")  # system packages of ours that no plain Python has


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(["./dev", "wheel", str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.glob("daybreak-*.whl")
    (folder / "said").write_text(done.stdout)
    return made


def copy_libraries(binary: Path, root: Path, *more: Path) -> None:
    """What the loader needs for the file, and more files, at the same paths under the root."""
    listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True)
    for path in (*more, *(Path(path) for path in re.findall(r"(/\S+) \(0x", listed.stdout))):
        target = root / path.relative_to("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


@pytest.fixture(scope="module")
def bare_root(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    for folder in ("tmp", "dev", "proc", "site"):
        (root / folder).mkdir()
    python = Path(sys.executable).resolve()
    copy_libraries(python, root, python)
    stdlib = Path(sysconfig.get_path("stdlib"))
    skip = shutil.ignore_patterns("site-packages", "dist-packages", "test", "idlelib", "__pycache__", "*.a", "config-*")
    shutil.copytree(stdlib, root / stdlib.relative_to("/"), ignore=skip, dirs_exist_ok=True)
    for module in (stdlib / "lib-dynload").glob("*.so"):
        copy_libraries(module, root)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", str(root / "site")]
    done = subprocess.run(
        [*pip, str(wheel)], capture_output=True, text=True
    )  # with what it says that it depends on, and nothing else
    assert done.returncode == 0, done.stdout + done.stderr
    for module in (root / "site").rglob("*.so"):
        copy_libraries(module, root)
    return root


def in_pod(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same as a pod of a cluster has it: another user, the default seccomp filter, nothing writable but an empty /tmp, 64 MB of
    /dev/shm, 2 CPUs, 2 GB; skips where podman is not there or can make none."""
    if not shutil.which("podman"):
        pytest.skip("podman is not installed")
    root.chmod(0o755)
    (root / "tmp").chmod(0o1777)  # from which the mounted one has its mode
    limits = ["--cpus=2", "--memory=2g", "--shm-size=64m", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"]
    limits += ["--read-only-tmpfs=false", "--tmpfs=/tmp:rw,mode=1777,notmpcopyup"]
    command = [
        "podman",
        "--runtime",
        "runc",
        "run",
        "--rm",
        "--rootfs",
        "--read-only",
        "--user=1000:1000",
        "--network=none",
    ]
    command += [*limits, "--env=PYTHONPATH=/site", str(root), str(Path(sys.executable).resolve())]
    first = subprocess.run([*command, "-c", ""], capture_output=True, text=True)
    if first.returncode != 0:
        pytest.skip(f"podman can make no container here: {first.stderr[-300:]}")
    return subprocess.run([*command, *arguments], capture_output=True, text=True)


@pytest.fixture(params=["root", "pod"])
def inside(request: pytest.FixtureRequest) -> Inside:
    return in_pod if request.param == "pod" else run_in


def run_in(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with these arguments in the root, with /proc and /dev; skips where this user may not change the root."""
    script = 'mount --rbind /dev "$0/dev" && mount --rbind /proc "$0/proc" && exec chroot "$0" "$@"'
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    inside = ["env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "unshare", *user, "--mount", "sh", "-c", script, str(root)]
    if subprocess.run([*inside, str(Path(sys.executable).resolve()), "-c", ""], capture_output=True).returncode != 0:
        pytest.skip("this user may not make a mount namespace and change the root")
    command = ["env", "-i", "PYTHONPATH=/site", *inside, str(Path(sys.executable).resolve()), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_wheel_runs_where_none_of_our_system_packages_are(bare_root: Path, inside: Inside) -> None:
    there = [str(path) for path in bare_root.rglob("*.so*") if path.name.startswith(OURS_ALONE)]
    assert all("/site/daybreak.libs/" in path for path in there), there
    done = inside(
        bare_root,
        "-c",
        "import daybreak, numpy\n"
        "from daybreak import tensor\n"
        "tensor.save('/tmp/x', {'w': numpy.arange(3)})\n"
        "print(daybreak.__file__, tensor.load('/tmp/x')['w'].tolist())\n",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "/site/daybreak/__init__.py [0, 1, 2]\n"


def without_a_compiler(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A copy of this repository with a .venv of its own that has our packages, and an environment whose compilers fail."""
    copy = copy_of_the_repository(tmp_path)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(copy / ".venv")], check=True)
    ours = Path(sysconfig.get_path("purelib"))
    (copy / ".venv" / ours.relative_to(sys.prefix) / "more.pth").write_text(
        "\n".join(path for path in sys.path if path.endswith("site-packages"))
    )
    for stamp in (".daybreak", ".browser"):
        if (Path(sys.prefix) / stamp).exists():
            text = (Path(sys.prefix) / stamp).read_text()
            (copy / ".venv" / stamp).write_text(text.replace(str(ROOT), str(copy), 1))
    for name in ("cmake", "ninja", "c++", "g++", "gcc", "cc", "ccache", "apt-get"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\necho {name} was called >&2\nexit 97\n")
        program.chmod(0o755)
    return copy, {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}


def test_work_on_python_alone_takes_core_from_a_wheel_and_needs_no_compiler(wheel: Path, tmp_path: Path) -> None:
    copy, environment = without_a_compiler(tmp_path)

    def dev(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["./dev", *arguments], cwd=copy, env=environment, capture_output=True, text=True)

    taken = dev("core", str(wheel))
    assert taken.returncode == 0 and "is in place" in taken.stdout, taken.stdout + taken.stderr
    where = dev(
        "run", "python", "-c", "import daybreak._core as c, daybreak.tensor as t; print(c.__file__, t.__file__)"
    )
    assert where.stdout.split() == [
        str(copy / "daybreak" / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"),
        str(copy / "daybreak" / "tensor" / "__init__.py"),
    ], where.stderr
    (copy / "daybreak" / "tensor" / "tests" / "test_new.py").write_text(
        "from daybreak import tensor\n\n\ndef test_new() -> None:\n    assert tensor.save\n"
    )
    tested = dev("test", "tensor", "--", "-k", "test_new")
    assert tested.returncode == 0 and tested.stdout.endswith("1 passed, 0 failed, 0 skipped\n"), tested
    assert "C++ is neither compiled nor tested" in tested.stderr and "was called" not in tested.stderr
    built = dev("build")  # asks for the compiler again, and what came from the wheel has gone
    assert built.returncode != 0 and "was called" in built.stderr
    assert not list((copy / "daybreak").glob("_core*.so")) and not (copy / "daybreak.libs").exists()


@pytest.mark.parametrize("first", ["daybreak", "other"])
@pytest.mark.parametrize("other", ["pyarrow", "pandas", "onnxruntime", "sklearn.linear_model", "duckdb", "torch"])
def test_the_wheel_lives_beside_libraries_with_a_libstdcxx_of_their_own(
    wheel: Path, tmp_path: Path, other: str, first: str
) -> None:
    """_core of a wheel holds a libstdc++: `import daybreak, pyarrow` ended in "free(): invalid pointer"."""
    if importlib.util.find_spec(other.split(".")[0]) is None:
        pytest.skip(f"{other} is not installed")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    imports = ["from daybreak import rl, tensor, track", f"import {other}"]
    program = "; ".join(
        [f"import sys; sys.path.insert(0, {str(site)!r})", *(imports if first == "daybreak" else imports[::-1])]
    )
    program += (
        "; import daybreak; assert daybreak.__file__.startswith(sys.path[0]), daybreak.__file__"
        "; rl.PPO('CartPole-v1', num_envs=2, num_steps=16).train()"
        "; tensor.save('x', {'w': __import__('numpy').arange(3)})"
        "\ntry: tensor.load('nothing')\nexcept FileNotFoundError: print('fine')"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_the_extension_shows_nothing_but_the_function_that_python_calls(wheel: Path, tmp_path: Path) -> None:
    suffix = str(sysconfig.get_config_var("EXT_SUFFIX"))
    with zipfile.ZipFile(wheel) as archive:
        made = Path(archive.extract(f"daybreak/_core{suffix}", tmp_path))
    for library in (made, ROOT / "daybreak" / made.name):
        shown = subprocess.run(["nm", "-D", "--defined-only", str(library)], capture_output=True, text=True, check=True)
        assert [line.split()[-1] for line in shown.stdout.splitlines()] == ["PyInit__core"]


def test_a_wheel_that_does_not_fit_this_checkout_is_refused_with_the_reason(wheel: Path, tmp_path: Path) -> None:
    suffix = str(sysconfig.get_config_var("EXT_SUFFIX"))
    assert core.problem_of(wheel, ROOT, suffix) == ""
    assert "this Python loads _core.cpython-399.so" in core.problem_of(wheel, ROOT, ".cpython-399.so")
    assert "is no wheel" in core.problem_of(ROOT / "README.md", ROOT, suffix)
    assert "is no wheel" in core.problem_of(tmp_path / "nothing.whl", ROOT, suffix)
    shutil.copytree(ROOT / "daybreak" / "_core", tmp_path / "daybreak" / "_core")
    (tmp_path / "daybreak" / "_core" / "rl.pyi").write_text("def other() -> None: ...\n")
    assert "the bindings of rl differ" in core.problem_of(wheel, tmp_path, suffix)
    evil = tmp_path / "evil.whl"
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr(f"daybreak/_core{suffix}", b"")
        archive.writestr("daybreak.libs/../../x", b"")
    assert "a path that leaves its folder" in core.problem_of(evil, ROOT, suffix)


def test_tasks_actors_and_training_run_from_the_wheel(bare_root: Path, inside: Inside) -> None:
    done = inside(
        bare_root,
        "-c",
        "import daybreak as ray\n"
        "from daybreak import rl\n"
        "ray.init(num_cpus=2, object_store_memory=64 << 20)\n"
        "square = ray.remote(lambda x: x * x)\n"
        "class Counter:\n"
        "    n = 0\n"
        "    def add(self, k):\n"
        "        self.n += k\n"
        "        return self.n\n"
        "counter = ray.remote(Counter).remote()\n"
        "[counter.add.remote(i) for i in range(4)]\n"
        "print(ray.get([square.remote(i) for i in range(4)]), ray.get(counter.add.remote(10)))\n"
        "print(rl.PPO('CartPole-v1', num_envs=4, num_steps=32).train()['timesteps_total'])\n",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[0, 1, 4, 9] 16\n128\n"


def test_a_pod_s_limits_are_the_runtime_s_and_arrays_beyond_its_dev_shm_pass(bare_root: Path) -> None:
    done = in_pod(
        bare_root,
        "-c",
        "import daybreak as ray, numpy as np, shutil\n"
        "ray.init()\n"
        "print(ray.cluster_resources()['CPU'], ray.cluster_resources()['object_store_memory'] < 2 << 30)\n"
        "assert shutil.disk_usage('/dev/shm').total == 64 << 20\n"
        "double = ray.remote(lambda a: a * 2)\n"
        "refs = [double.remote(ray.put(np.full(15 << 20, i))) for i in range(3)]\n"
        "print([int(ray.get(ref)[-1]) for ref in refs])\n",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2.0 True\n[0, 2, 4]\n"


def test_tracking_and_granting_run_from_the_wheel(bare_root: Path, inside: Inside) -> None:
    done = inside(
        bare_root,
        "-c",
        "import numpy\n"
        "from daybreak import grant, track\n"
        "track.init('/tmp/runs')\n"
        "with track.run('r', params={'lr': 0.1}) as run:\n"
        "    run.log({'loss': 0.5}, step=3)\n"
        "    kept = run.artifact('w', numpy.arange(4))\n"
        "print([r.metrics['loss'] for r in track.runs('params.lr = 0.1')], track.load(kept).tolist())\n"
        "lab, ann = grant.Entity.create(), grant.Entity.create()\n"
        "wallet = grant.Wallet(ann)\n"
        "granted = grant.Wallet(lab).grant(ann.public, namespace=lab.id, statements=[(['decrypt'], 'models/*')])\n"
        "wallet.add(granted.bundle)\n"
        "sealed = grant.encrypt(grant.Manifest.create(lab, ['models/a']), 'models/a', b'x', author=grant.Wallet(lab))\n"
        "verifier = grant.Verifier(namespace=lab.id, server='s', revocations=None)\n"
        "print(grant.decrypt(sealed, wallet=wallet, verifier=verifier))\n",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[0.5] [0, 1, 2, 3]\nb'x'\n"


def test_demo_runs_from_the_wheel_with_what_the_wheel_depends_on(bare_root: Path, inside: Inside) -> None:
    done = inside(bare_root, "/site/bin/daybreak", "demo", "pong", "--check", "--out", "/tmp/demo")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-2].startswith("Shown: ") and all(line.startswith("ok ") for line in lines[:-2]), done.stdout


def test_what_the_wheel_needs_of_glibc_and_libstdcxx_is_printed(wheel: Path) -> None:
    said = (wheel.parent / "said").read_text()
    assert re.search(r"needs GLIBC_2\.\d+, GLIBCXX_3\.4\.\d+$", said, re.MULTILINE), said


def test_wheel_holds_the_package_and_no_sources(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "daybreak/py.typed" in names and "daybreak/_core/tensor.pyi" in names
    assert any(name.startswith("daybreak/_core.cpython") for name in names)
    page = {"index.html", "icon.svg", "assets/page.js", "assets/page.css"}
    assert {name.removeprefix("daybreak/demo/pong/page/") for name in names if re.search(r"/page/.*\w$", name)} == page
    unwanted = [name for name in names if name.endswith((".cc", ".h", "CMakeLists.txt")) or "/tests/" in name]
    assert not unwanted
    assert re.search(r"-cp3\d+-manylinux_", wheel.name), wheel.name


def in_root(root: Path, command: str) -> subprocess.CompletedProcess[str]:
    """A shell command in a Debian root, with this machine's package sources and certificates."""
    script = (
        'mount --make-rprivate / && mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && '
        'mount -t tmpfs tmpfs "$0/tmp" && '
        + "".join(f'mkdir -p "$0{folder}" && mount --bind {folder} "$0{folder}" && ' for folder in package_folders())
        + 'exec chroot "$0" bash -c "$1"'
    )
    wanted = re.compile("pip_|ssl_cert|requests_ca|https?_proxy|no_proxy", re.IGNORECASE)
    kept = {name: value for name, value in os.environ.items() if wanted.match(name)}
    environment = {
        **kept,
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    inside = ["unshare", "--mount", "--pid", "--fork", "bash", "-c", script, str(root), command]
    return subprocess.run(inside, env=environment, capture_output=True, text=True)


def package_folders() -> list[str]:
    """Folders of this machine that pip's settings name."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    found = {path.removesuffix("/simple") for path in re.findall(r"(?:file://|')(/[\w./-]+)", listed)}
    return sorted(folder for folder in found if Path(folder).is_dir())


def debian_root(root: Path, suite: str, packages: str) -> Path:
    listed = "".join(path.read_text() for path in Path("/etc/apt").rglob("*") if path.suffix in (".list", ".sources"))
    mirror = re.search(r"https?://\S+/debian(?=/?\s)", listed)
    made = subprocess.run(
        [
            "debootstrap",
            "--variant=minbase",
            f"--include=ca-certificates,{packages}",
            suite,
            str(root),
            *([mirror[0]] if mirror else []),
        ],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr
    for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/ssl/certs", "/etc/apt/apt.conf.d"):
        if Path(path).is_dir():
            shutil.copytree(path, f"{root}{path}", dirs_exist_ok=True)
        elif Path(path).exists():
            shutil.copy(path, f"{root}{path}")
    return root


@pytest.mark.timeout(3600)
@pytest.mark.skipif(
    not os.environ.get("DAYBREAK_DEBIAN13"), reason="DAYBREAK_DEBIAN13=1 ./dev test tests: makes Debian 13 roots"
)
def test_debian_13_makes_a_wheel_for_its_python_which_runs_in_a_bare_root(tmp_path: Path) -> None:
    builder = debian_root(tmp_path / "builder", "trixie", "git")
    subprocess.run(["git", "clone", "-q", str(ROOT), str(builder / "root" / "daybreak")], check=True)
    built = in_root(builder, "cd /root/daybreak && ./dev wheel /root/wheel")
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    assert re.search(r"cp313-cp313-manylinux\S+ \(.* needs GLIBC_2\.\d+, GLIBCXX_3\.4\.\d+", built.stdout), built.stdout
    bare = debian_root(tmp_path / "bare", "trixie", "python3,python3-venv")
    shutil.copytree(builder / "root" / "wheel", bare / "root" / "wheel")
    done = in_root(
        bare,
        "python3 -m venv /v && /v/bin/pip -q install /root/wheel/*.whl && cd /root && time /v/bin/daybreak demo pong --check",
    )
    assert done.returncode == 0 and "Shown: " in done.stdout, done.stdout + done.stderr
