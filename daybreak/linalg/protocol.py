class ArrayFace:
    __slots__ = ()
