"""`multiprocessing.Pool` on the runtime's processes, and the names that its users import beside it."""

from multiprocessing import JoinableQueue, TimeoutError

from .pool import AsyncResult, IMapIterator, IMapUnorderedIterator, Pool

__all__ = ["AsyncResult", "IMapIterator", "IMapUnorderedIterator", "JoinableQueue", "Pool", "TimeoutError"]
