"""What linalg is for, in one line.

>>> from daybreak import linalg
>>> linalg.greeting("world")
'hello, world'
"""

from daybreak._core.linalg import greeting

__all__ = ["greeting"]
