"""A disk that can be full: a file system in memory, in a mount namespace of this process.

It needs the right to mount (root, or CAP_SYS_ADMIN); without it no disk is ever full. No other
process sees the mount, and it ends with the last process that was started from here.
"""

import ctypes
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE, MS_REMOUNT = 0x4000, 0x40000, 0x20
MNT_DETACH = 2
SIZE = 8 << 30  # bytes; only those in use take memory
LIBC = ctypes.CDLL(None, use_errno=True)


class Disk:
    """A folder; on a file system of its own where that may be mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.mounted = sys.platform == "linux" and self._mount()

    @contextmanager
    def full(self) -> Iterator[None]:
        """Let no byte be left."""
        found = os.statvfs(self.folder)
        self._resize((found.f_blocks - found.f_bfree) * found.f_frsize)
        try:
            yield
        finally:
            self._resize(SIZE)

    def close(self, *, keep: bool) -> None:
        """Unmount it; `keep` copies its files into the folder that is under it."""
        if not self.mounted:
            return
        copy = self.folder.with_name(f"{self.folder.name}.copy")
        if keep:
            shutil.copytree(self.folder, copy, ignore=_sockets)
        LIBC.umount2(os.fsencode(self.folder), MNT_DETACH)
        if keep:
            self.folder.rmdir()
            copy.rename(self.folder)

    def _mount(self) -> bool:
        if LIBC.unshare(CLONE_NEWNS) or LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
            return False
        return self._call(0, SIZE)

    def _resize(self, size: int) -> None:
        if not self._call(MS_REMOUNT, size):
            raise OSError(ctypes.get_errno(), "remount", str(self.folder))

    def _call(self, flags: int, size: int) -> bool:
        where = os.fsencode(self.folder)
        return not LIBC.mount(b"tmpfs", where, b"tmpfs", flags, b"size=%d" % size)


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if stat.S_ISSOCK(os.lstat(Path(folder, name)).st_mode)]
