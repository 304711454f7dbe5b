"""Children that end when their parent does, however it ends, and that need not be root."""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
LINUX = sys.platform == "linux"
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Identity:
    """Who a child runs as; without anything said, who we are."""

    namespace: bool = False
    user: int | None = None
    group: int | None = None

    def owns(self, folder: Path) -> None:
        """Give the folder to this identity: it may have been another's when it ran last."""
        owner = os.geteuid() if self.user is None else self.user
        if os.geteuid() == 0 and folder.stat().st_uid != owner:
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, owner, self.group if self.group is not None else os.getegid())


def identities() -> Iterator[Identity]:
    """Offer, best first, the identities in which we are not root."""
    if os.geteuid() != 0:
        yield Identity()
        return
    if LINUX:
        yield Identity(namespace=True)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return
    yield Identity(user=nobody.pw_uid, group=nobody.pw_gid)


def spawn(
    command: Sequence[str | Path],
    parting: signal.Signals,
    *,
    identity: Identity | None = None,
    output: IO[bytes] | int = subprocess.DEVNULL,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child, out of reach of Ctrl-C, that gets `parting` when its parent ends.

    Its parent is, to Linux, the *thread* that called this: call it from one that lives as long
    as the child should. Elsewhere than on Linux a killed parent leaves its children behind.
    """
    identity = identity or Identity()
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=cwd,
        user=identity.user,
        group=identity.group,
        extra_groups=[] if identity.user is not None else None,
        start_new_session=True,
        preexec_fn=_leash(parting, identity.namespace),
    )


def _leash(parting: signal.Signals, namespace: bool) -> Callable[[], None]:
    parent = os.getpid()

    def before_exec() -> None:
        if namespace:
            _enter_user_namespace()
        # After the change of identity, which clears it.
        if LINUX:
            LIBC.prctl(PR_SET_PDEATHSIG, int(parting))
        # The parent may have ended before the leash was on.
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


def _enter_user_namespace() -> None:
    """Be uid 1000 to ourselves, and to the file system who we were: PostgreSQL refuses uid 0."""
    uid, gid = os.geteuid(), os.getegid()
    if LIBC.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"1000 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"1000 {gid} 1")
