"""How many bytes of bodies a server reads at once, whoever sends them."""

from types import TracebackType

from netc_runtime.errors import ServeFault


class Room:
    """The bytes that bodies being read may take in all, and those that they take."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0


class Part:
    """What one body takes of a room: nothing until it grows; its `with` block gives it back."""

    __slots__ = ("_room", "_size")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._size = 0

    @property
    def size_bytes(self) -> int:
        """What it takes now."""
        return self._size

    def grow(self, size_bytes: int) -> None:
        """Take so many bytes in all; it never shrinks.

        Raises: ServeFault R537 where there is no room for them now, R536 where there never is.
        """
        more = size_bytes - self._size
        if more <= 0:
            return
        room = self._room
        if size_bytes > room.most:
            raise ServeFault(
                "R536",
                f"to read this body takes {size_bytes:,} bytes, and {room.most:,} are what all may take at once",
                "send it in parts; tensors as bytes take a tenth of what they take in JSON",
            )
        if room.taken + more > room.most:
            raise ServeFault(
                "R537",
                f"bodies of {room.taken:,} bytes are being read of {room.most:,} at most; this one has {size_bytes:,}",
                "come again when some are read",
                1.0,
            )
        room.taken += more
        self._size = size_bytes

    def __enter__(self) -> "Part":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room.taken -= self._size
        self._size = 0
