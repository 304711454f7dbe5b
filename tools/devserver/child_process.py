"""Child processes that end with their parent, and that can run as another user than root."""

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
    """User and group of a child; by default those of the parent."""

    namespace: bool = False
    user: int | None = None
    group: int | None = None

    def own(self, folder: Path) -> None:
        """Make this identity the owner of the folder, which another run may have owned."""
        owner = os.geteuid() if self.user is None else self.user
        if os.geteuid() == 0 and folder.stat().st_uid != owner:
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, owner, self.group if self.group is not None else os.getegid())


def identities() -> Iterator[Identity]:
    """Yield identities that are not root, the best first."""
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
    on_parent_exit: signal.Signals,
    *,
    identity: Identity | None = None,
    output: IO[bytes] | int = subprocess.DEVNULL,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, which gets `on_parent_exit` when its parent ends.

    To Linux the parent is the calling *thread*, which must live as long as the child should.
    On other systems a killed parent leaves its children behind.
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
        preexec_fn=_before_exec(on_parent_exit, identity.namespace),
    )


def _before_exec(on_parent_exit: signal.Signals, namespace: bool) -> Callable[[], None]:
    parent = os.getpid()

    def before_exec() -> None:
        if namespace:
            _enter_user_namespace()
        # After the change of user, which clears the setting.
        if LINUX:
            LIBC.prctl(PR_SET_PDEATHSIG, int(on_parent_exit))
        # The parent may have ended before prctl.
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


def _enter_user_namespace() -> None:
    """Map uid 1000 of a new user namespace to our uid: PostgreSQL refuses to run as uid 0."""
    uid, gid = os.geteuid(), os.getegid()
    if LIBC.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"1000 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"1000 {gid} 1")
