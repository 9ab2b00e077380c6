"""What a package of somebody else's is called here, and the import system's part of it."""

from __future__ import annotations

import importlib
import importlib.util
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
        if full in aliases.names:
            module, _, attribute = aliases.names[full].partition(":")
            return getattr(importlib.import_module(module), attribute)
        if full in aliases.modules or aliases.room_of(full) is not None:
            return importlib.import_module(full)
        if full in aliases.expected:
            return Absent(full, aliases.why_not(full))
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        room = aliases.room_of(self.__name__)
        if room is not None and hasattr(found := importlib.import_module(room), name):
            return getattr(found, name)
        if aliases.lenient and aliases.is_foreign(self.__name__):
            return Absent(full)
        raise AttributeError(aliases.why_not(full))

    def __setattr__(self, name: str, value: object) -> None:
        """A name wins over the module of the same name, which `import` would set here (`ray.util.placement_group`)."""
        if not (isinstance(value, _Alias) and f"{self.__name__}.{name}" in self.__dict__["_aliases"].names):
            super().__setattr__(name, value)

    def __reduce__(self) -> tuple[object, ...]:
        aliases: Aliases = self.__dict__["_aliases"]
        return _installed, (
            aliases.table,
            self.__name__,
        )  # a function of a notebook takes along the modules that it uses

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__dict__["_aliases"].of(self.__name__)})


class Absent:
    """What a worker has in place of a name that the package's own has and we do not: it complains when it is used.

    A worker imports the modules of its tasks, and the program that could import them had help (import hooks of a test, say) that
    the worker has not. The task itself may never use what is missing.

    >>> Absent("ray._private.x").y
    <Absent ray._private.x.y>
    >>> Absent("ray._private.x")()
    Traceback (most recent call last):
        ...
    RuntimeError: Daybreak has no ray._private.x
    """

    def __init__(self, name: str, why_not: str = "") -> None:
        self.__name__ = name
        self._why_not = why_not or f"Daybreak has no {name}"

    def __getattr__(self, name: str) -> Absent:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self.__name__}.{name}")

    def __call__(self, *args: object, **kwargs: object) -> object:
        raise RuntimeError(self._why_not)

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return ()

    def __repr__(self) -> str:
        return f"<Absent {self.__name__}>"


class Aliases(MetaPathFinder, Loader):
    """The names of one package.

    names: "package.module.name" -> "daybreak.module:name". Modules are what names are in. refused: a name, or a module with all
    below it, and what to do instead. rooms: a module -> one of ours that has the same names and modules below it. expected: a
    refused name -> a library that imports it with its own modules, and may never use it: where that library is, it is Absent.
    """

    lenient = False  # in a worker: see Absent
    private: frozenset[str] = (
        frozenset()
    )  # in a worker: modules of which some names are here, and the others are Absent

    def __init__(
        self,
        package: str,
        names: Mapping[str, str],
        refused: Mapping[str, str],
        rooms: Mapping[str, str] | None = None,
        expected: Mapping[str, str] | None = None,
    ) -> None:
        self.package = package
        self.table = f"{__package__}.{package}"  # the module with `install` and `uninstall` of this
        self.names = dict(names)
        self.refused = dict(refused)
        self.rooms = dict(rooms or {})
        self.expected = dict(expected or {})
        self.modules = {package}
        for name in [*names, *refused, *(f"{room}." for room in self.rooms)]:
            while (name := name.rpartition(".")[0]) != package:
                self.modules.add(name)

    def of(self, module: str) -> list[str]:
        """What the module holds: the names for `from module import *`, and the modules below it."""
        everything = [*self.names, *self.modules]
        return [name.rpartition(".")[2] for name in everything if name.rpartition(".")[0] == module]

    def room_of(self, module: str) -> str | None:
        """Our module that stands behind this one, which may be below one of `rooms`."""
        for theirs, ours in self.rooms.items():
            if module == theirs or module.startswith(f"{theirs}."):
                room = ours + module.removeprefix(theirs)
                try:
                    there = importlib.util.find_spec(room) is not None
                except ModuleNotFoundError:  # of a module above it
                    there = False
                return room if there else None
        return None

    def is_foreign(self, module: str) -> bool:
        """Whether it is a module of the package that is not here."""
        if module in self.private:
            return True
        return module not in self.modules and self.room_of(module) is None and not self.is_refused(module)

    def is_refused(self, name: str) -> bool:
        parts = name.split(".")
        return any(".".join(parts[:end]) in self.refused for end in range(1, len(parts) + 1))

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
            session.worker_setup.append(f"{self.table}:install_in_worker")

    def uninstall(self) -> None:
        """`import` finds the package's own modules again; names that were imported stay ours."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            session.worker_setup.remove(f"{self.table}:install_in_worker")
        for name, module in list(sys.modules.items()):
            if isinstance(module, _Alias) and module.__dict__["_aliases"] is self:
                del sys.modules[name]

    def add_private(self, names: Mapping[str, str]) -> None:
        """In a worker: names of the package's private modules. The program's own process may have stand-ins for those."""
        self.names.update(names)
        modules = {name.rpartition(".")[0] for name in names}
        modules |= {module.rpartition(".")[0] for module in modules} - {self.package}
        below = tuple(f"{module}." for module in modules)
        self.private |= modules | {module for module in self.modules if module.startswith(below)}
        self.modules |= modules

    # What `import` calls.

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(f"{self.package}.") and name != self.package:
            return None
        if name in self.modules or (self.room_of(name) is not None and not self.is_refused(name)):
            return ModuleSpec(name, self, is_package=True)
        if any(full.startswith(f"{name}.") and library in sys.modules for full, library in self.expected.items()):
            return ModuleSpec(name, self, is_package=True)
        if not self.is_refused(name):
            for finder in sys.meta_path:  # somebody else's may know it
                found = None if isinstance(finder, Aliases) else finder.find_spec(name, path, target)
                if found is not None:
                    return found
            if self.lenient:
                return ModuleSpec(name, self, is_package=True)
        raise ImportError(self.why_not(name), name=name)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Alias(spec.name, self)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__all__"] = sorted(
            name.rpartition(".")[2] for name in self.names if name.rpartition(".")[0] == module.__name__
        )
