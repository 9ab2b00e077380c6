"""House rules that no other tool knows (the model is TigerBeetle's tidy). Part of `./dev lint`.

- What a test wants to stop or break, or what one room has for all, is called in that room alone: BANNED.
- Files have at most MAX_FILE_LINES lines, functions MAX_FUNCTION_LINES (without a docstring).
- Somebody includes every header.
- A document names no file that is not there; lines of those that tell a story have at most MAX_PROSE_CHARS characters.

tools/tidy_exceptions.txt has what was there before the rule: `rule path number`. It may only shrink: more than the number is an
error, and so is an entry for what has gone (`--prune` takes it out). A new entry is a decision for the review.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXCEPTIONS = "tools/tidy_exceptions.txt"
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70
MAX_PROSE_CHARS = 132
CODE = (".cc", ".h", ".py", ".ts")
PROSE = ("docs/journeys/", "docs/howto/", "docs/ownership.md", "docs/build.md", "tutorials/")
NAMED = r"[\w./-]+\.(?:cc|h|py|ts|sh|cmake|md)"  # a file as a document names it


@dataclass(frozen=True)
class Ban:
    pattern: re.Pattern[str]
    rooms: tuple[str, ...]  # where it is at home
    instead: str
    in_tests: bool  # whether tests keep to it, too


BANNED = {
    "clock": Ban(
        re.compile(r"\bclock_gettime\b|\b(?:steady|system|high_resolution)_clock::now\b"),
        ("base", "os"),
        "base::Env's clock, which a test can stop",
        False,
    ),
    "open": Ban(re.compile(r"(?<![\w:>])::open(?:at)?\("), ("base", "os"), "base::Env or a file of os", True),
    "memfd": Ban(re.compile(r"\bmemfd_create\b"), ("base", "os"), "os, which has shared memory for all", True),
    "futex": Ban(re.compile(r"\bSYS_futex\b"), ("base", "os"), "base/atomic.h, which has one futex for all", True),
    "random_device": Ban(
        re.compile(r"\brandom_device\b"), ("base", "os"), "base::Env, or a seed that is printed", True
    ),
    "mkdtemp": Ban(re.compile(r"\bmk[ds]temp\b"), ("base", "os"), "base::TempDir", True),
    "mutex": Ban(
        re.compile(r"\bstd::(?:recursive_|shared_|timed_)?mutex\b|\bstd::condition_variable"),
        ("base",),
        "base::Mutex and base::CondVar, whose locks the compiler checks",
        False,
    ),
}


@dataclass(frozen=True)
class Finding:
    rule: str
    path: str  # and, of a function, its name behind a ':'
    number: int
    text: str


class Tree:
    """The files that git knows or would add, by their path."""

    def __init__(self, root: Path) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=root, capture_output=True, text=True, check=True
        ).stdout
        self.root = root
        self.names = sorted(name for name in set(listed.split("\0")) if name and (root / name).is_file())
        self._texts: dict[str, str] = {}

    def text(self, name: str) -> str:
        if name not in self._texts:
            self._texts[name] = (self.root / name).read_text(errors="replace")
        return self._texts[name]

    def of(self, *suffixes: str) -> list[str]:
        return [name for name in self.names if name.endswith(suffixes)]


def is_test(name: str) -> bool:
    return bool({"tests", "bench", "interleave"} & set(name.split("/")))


def without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*", "", text)


def banned(tree: Tree) -> Iterator[Finding]:
    for name in tree.of(".cc", ".h"):
        parts = name.split("/")
        if parts[0] != "daybreak":
            continue
        text = without_comments(tree.text(name))
        for rule, ban in BANNED.items():
            if parts[1] in ban.rooms or (is_test(name) and not ban.in_tests):
                continue
            found = list(ban.pattern.finditer(text))
            if found:
                line = text.count("\n", 0, found[0].start()) + 1
                yield Finding(rule, name, len(found), f"{name}:{line}: {found[0][0]}: use {ban.instead}")


def long_files(tree: Tree) -> Iterator[Finding]:
    for name in tree.of(*CODE):
        lines = tree.text(name).count("\n")
        if lines > MAX_FILE_LINES:
            yield Finding("lines", name, lines, f"{name}: {lines} lines, at most {MAX_FILE_LINES}: split it by subject")


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    """Name and number of lines, a docstring not counted."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node, clean=False) is not None:
                first = node.body[0]
                lines -= (first.end_lineno or first.lineno) - first.lineno + 1
            yield node.name, lines


def cpp_functions(lines: list[str], indent: int = 0) -> Iterator[tuple[str, int]]:
    """By how clang-format lays them out: what begins at this column with a name and '(' and ends with a '}' at the same column.
    Classes are looked into; namespaces are not indented."""
    margin = " " * indent
    begin: int | None = None
    for at, line in enumerate(lines):
        if not line.startswith(margin) or not line.strip():
            continue
        here = line[indent:]
        if here.startswith("}") and begin is not None:
            head = " ".join(part.strip() for part in lines[begin : at + 1])[:400]
            if re.match(r"(template <.*?> )?(class|struct|union)\b", head) and "(" not in head.partition("{")[0]:
                yield from cpp_functions(lines[begin + 1 : at], indent + 2)
            elif test := re.match(r"TEST\w*\((\w+), (\w+)\)", head):
                yield f"{test[1]}.{test[2]}", at - begin + 1
            elif found := re.match(r"[^={;]*?([~\w]+|operator\S+)\(", head):
                yield found[1], at - begin + 1
            begin = None
        elif not here.startswith((" ", "}", "#", "//", "namespace", "public:", "private:", "protected:")):
            if begin is None:
                begin = at
            if line.endswith(";") or (line.endswith("}") and "{" in line):
                begin = None


def long_functions(tree: Tree) -> Iterator[Finding]:
    for name in tree.of(".cc", ".h", ".py"):
        text = tree.text(name)
        functions = python_functions(text) if name.endswith(".py") else cpp_functions(text.splitlines())
        longest: dict[str, int] = {}
        for function, lines in functions:
            longest[function] = max(lines, longest.get(function, 0))
        for function, lines in longest.items():
            if lines > MAX_FUNCTION_LINES:
                text = f"{name}: {function}() has {lines} lines, at most {MAX_FUNCTION_LINES}"
                yield Finding("function", f"{name}:{function}", lines, text)


def unused_headers(tree: Tree) -> Iterator[Finding]:
    included = {
        include
        for name in tree.of(".cc", ".h")
        for include in re.findall(r'^\s*#\s*include\s*["<](daybreak/[^">]+)[">]', tree.text(name), re.MULTILINE)
    }
    for name in tree.of("cmake/room.cmake"):
        included |= set(re.findall(r"<(daybreak/[^>]+)>", tree.text(name)))
    for name in tree.of(".h"):
        if name.startswith("daybreak/") and name not in included:
            yield Finding("header", name, 1, f"{name}: nobody includes it")


def missing_files(tree: Tree) -> Iterator[Finding]:
    """Links, and names of files in backticks, of documents. Of what was decided or changed once, the names may be of then."""
    ends = {"/".join(name.split("/")[-depth:]) for name in tree.names for depth in range(1, name.count("/") + 2)}
    for name in tree.of(".md"):
        if name == "CHANGELOG.md" or name.startswith("docs/decisions/"):
            continue
        text = re.sub(r"^```.*?^```", "", tree.text(name), flags=re.MULTILINE | re.DOTALL)
        links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
        missing = [link for link in links if not ((tree.root / name).parent / link).exists()]
        for span in re.findall(r"`([^`\n]+)`", text):
            if re.fullmatch(NAMED, span) and not re.search(r"(?<![A-Za-z0-9])[A-Z]{2,}(?![\w-]*\.md)", span):
                path = span.removeprefix("./").removeprefix("../")
                if path not in ends:
                    missing.append(span)
        for file in dict.fromkeys(missing):
            yield Finding("document", f"{name}:{file}", 1, f"{name}: there is no file {file}")


def long_prose(tree: Tree) -> Iterator[Finding]:
    """Pages that tell a story: read in a terminal and in a diff."""
    for name in tree.of(".md"):
        if name != "ARCHITECTURE.md" and not name.startswith(PROSE):
            continue
        for number, line in enumerate(tree.text(name).splitlines(), start=1):
            if len(line) > MAX_PROSE_CHARS:
                yield Finding(
                    "prose",
                    f"{name}:{number}",
                    1,
                    f"{name}:{number}: {len(line)} characters, at most {MAX_PROSE_CHARS}",
                )


RULES = (banned, long_files, long_functions, unused_headers, missing_files, long_prose)


def read_exceptions(text: str) -> dict[tuple[str, str], int]:
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            rule, path, number = line.split()
            found[rule, path] = int(number)
    return found


def problems_of(root: Path) -> list[str]:
    tree = Tree(root)
    allowed = read_exceptions(tree.text(EXCEPTIONS)) if EXCEPTIONS in tree.names else {}
    problems = []
    for rule in RULES:
        for found in rule(tree):
            limit = allowed.pop((found.rule, found.path), 0)
            if found.number > limit:
                more = f" ({found.number}; {EXCEPTIONS} allows {limit})" if limit else ""
                problems.append(f"{found.text}{more}")
    for rule_name, path in allowed:
        problems.append(f"{EXCEPTIONS}: '{rule_name} {path}' is no longer needed: python -m tools.tidy_rules --prune")
    return problems


def prune(root: Path) -> None:
    """Takes out of the list what has gone and lowers what has become less. Adds nothing."""
    tree = Tree(root)
    now = {(found.rule, found.path): found.number for rule in RULES for found in rule(tree)}
    kept = []
    for line in tree.text(EXCEPTIONS).splitlines():
        if line and not line.startswith("#"):
            rule_name, path, number = line.split()
            if (rule_name, path) not in now:
                continue
            line = f"{rule_name} {path} {min(int(number), now[rule_name, path])}"
        kept.append(line)
    (root / EXCEPTIONS).write_text("\n".join(kept) + "\n")


def main() -> int:
    if "--prune" in sys.argv:
        prune(ROOT)
    found = problems_of(ROOT)
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
