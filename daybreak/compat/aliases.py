"""What a package of somebody else's is called here, and the import system's part of it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from daybreak.runtime import session

__all__ = ["Aliases"]


def _installed(table: str, name: str) -> ModuleType:
    """The module of a name, in a process that may not have its table yet."""
    importlib.import_module(table).install()
    return importlib.import_module(name)


class _Alias(ModuleType):
    """A module of somebody else's package, whose names are looked up here when they are asked for."""

    def __init__(self, name: str, aliases: Aliases) -> None:
        super().__init__(name, f"{name}, as daybreak.compat has it")
        self.__dict__["_aliases"] = aliases

    def __getattr__(self, name: str) -> object:
        full = f"{self.__name__}.{name}"
        aliases: Aliases = self.__dict__["_aliases"]
        if full in aliases.modules:
            return importlib.import_module(full)
        if full in aliases.names:
            module, _, attribute = aliases.names[full].partition(":")
            return getattr(importlib.import_module(module), attribute)
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        raise AttributeError(aliases.why_not(full))

    def __reduce__(self) -> tuple[object, ...]:
        aliases: Aliases = self.__dict__["_aliases"]
        return _installed, (
            aliases.table,
            self.__name__,
        )  # a function of a notebook takes along the modules that it uses

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__dict__["_aliases"].of(self.__name__)})


class Aliases(MetaPathFinder, Loader):
    """The names of one package.

    names: "package.module.name" -> "daybreak.module:name". Modules are what names are in. refused: a name, or a module with all
    below it, and what to do instead.
    """

    def __init__(self, package: str, names: Mapping[str, str], refused: Mapping[str, str]) -> None:
        self.package = package
        self.table = f"{__package__}.{package}"  # the module with `install` and `uninstall` of this
        self.names = dict(names)
        self.refused = dict(refused)
        self.modules = {package}
        for name in [*names, *refused]:
            while (name := name.rpartition(".")[0]) != package:
                self.modules.add(name)

    def of(self, module: str) -> list[str]:
        """What the module holds: the names for `from module import *`, and the modules below it."""
        everything = [*self.names, *self.modules]
        return [name.rpartition(".")[2] for name in everything if name.rpartition(".")[0] == module]

    def why_not(self, name: str) -> str:
        """The sentence for a name that is not here."""
        parts = name.split(".")
        for end in range(len(parts), 0, -1):
            if way_out := self.refused.get(".".join(parts[:end])):
                return f"Daybreak has no {name}: {way_out}"
        return f"Daybreak has no {name}; dir({'.'.join(parts[:-1]) or name}) lists what it has"

    def install(self) -> None:
        """From now on `import` of the package gives these names, in this process and in the workers that a later `init` starts.
        ImportError where the package itself has been
        imported already: what was taken from it would not be ours."""
        there = sys.modules.get(self.package)
        if there is not None and not isinstance(there, _Alias):
            raise ImportError(
                f"{self.package} itself is imported already, from {getattr(there, '__file__', None)}: call "
                f"daybreak.compat.{self.package}.install() before the first import of it",
                name=self.package,
            )
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)  # before an installation of the package
            session.worker_setup.append(f"{self.table}:install")

    def uninstall(self) -> None:
        """`import` finds the package's own modules again; names that were imported stay ours."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            session.worker_setup.remove(f"{self.table}:install")
        for name in [name for name, module in sys.modules.items() if isinstance(module, _Alias)]:
            if name in self.modules:
                del sys.modules[name]

    # What `import` calls.

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name in self.modules:
            return ModuleSpec(name, self, is_package=True)
        if name.startswith(f"{self.package}."):
            raise ImportError(self.why_not(name), name=name)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Alias(spec.name, self)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__all__"] = sorted(
            name.rpartition(".")[2] for name in self.names if name.rpartition(".")[0] == module.__name__
        )
