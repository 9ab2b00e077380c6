"""The demos: where the systems meet. A folder NAME with a ``command.py`` is ``daybreak demo NAME`` and ``./dev demo NAME``.

``steps`` is what demos share: steps that are timed, checked and reported.
"""

__all__: list[str] = []
