"""Named locks that outlive transactions."""

import fcntl
import os

import pytest
from django.db import connection

from infra import locks


@pytest.mark.django_db
def test_a_session_lock_ends_with_its_block_though_a_child_process_has_its_file(
    tmp_path, monkeypatch
):
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite's session locks are files")
    flock, inherited = fcntl.flock, []

    def keep_a_copy(file, operation) -> None:
        # What a child process has between fork and exec: the same open file.
        inherited.append(os.dup(file.fileno()))
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", keep_a_copy)
    for _ in range(2):
        with locks.session_lock("eventbus.log", tmp_path / "log.lock") as acquired:
            assert acquired
    for copy in inherited:
        os.close(copy)
