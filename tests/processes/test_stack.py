"""The supervisor behind `make stack`, with stand-ins for Kabar's own processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
STAND_IN = """
import signal, subprocess, sys, time
name, end = sys.argv[1:]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("bye", flush=True)))
pool = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("up", flush=True)
time.sleep(float(end))
sys.exit(3)
"""
WEB = """
import http.server, os
class Always(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Always).serve_forever()
"""
STACK = f"""
import sys
from tools.devserver import stack
python = (sys.executable, "-u", "-c")
stack.PREPARE = {{"migrate": (*python, "print('migrated')")}}
stack.CHILDREN = {{
    "bank": (*python, {STAND_IN!r}, "bank", "600"),
    "relay": (*python, {STAND_IN!r}, "relay", sys.argv[1]),
    "web": (*python, {WEB!r}),
}}
sys.exit(stack.main([]))
"""

Stack = subprocess.Popen[str]
OPEN = "Kabar is open at http://127.0.0.1:"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Callable[[str], Stack]]:
    """Start a stack whose relay ends by itself after so many seconds; servers are not its own."""
    started: list[Stack] = []
    ports = {"PORT": str(_free_port()), "BANK_PORT": str(_free_port())}
    elsewhere = dict.fromkeys(("DATABASE_URL", "BROKER_URL", "CACHE_URL"), "elsewhere")
    place = {"KABAR_STACK_DIR": str(tmp_path), "MARK": str(tmp_path), "BANK_URL": ""}

    def start(relay_ends_after: str) -> Stack:
        process = subprocess.Popen(
            [sys.executable, "-c", STACK, relay_ends_after],
            cwd=REPOSITORY,
            env=os.environ | ports | elsewhere | place,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_stack_says_when_it_is_open_and_ends_in_good_order(
    stack: Callable[[str], Stack], tmp_path: Path
) -> None:
    # given
    process = stack("600")
    said = _until(process, OPEN)
    assert said[0] == "migrate  | migrated"
    assert len(_marked(tmp_path)) >= 6

    # when
    process.terminate()

    # then
    rest = process.communicate(timeout=20)[0].splitlines()
    assert [line for line in rest if line.endswith("bye")] == ["relay    | bye", "bank     | bye"]
    assert process.returncode == 0
    assert _marked(tmp_path) == []


def test_a_child_that_ends_unasked_ends_the_stack(stack: Callable[[str], Stack]) -> None:
    process = stack("0.5")
    said = process.communicate(timeout=20)[0].splitlines()
    assert said[-1] == "kabar    | relay ended with 3."
    assert "bank     | bye" in said
    assert process.returncode == 1


def test_a_killed_supervisor_leaves_no_process_behind(
    stack: Callable[[str], Stack], tmp_path: Path
) -> None:
    process = stack("600")
    _until(process, OPEN)
    process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _marked(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _marked(tmp_path) == []


def test_two_stacks_do_not_share_a_folder(stack: Callable[[str], Stack]) -> None:
    _until(stack("600"), OPEN)
    second = stack("600")
    assert "Another stack runs in" in second.communicate(timeout=20)[0]
    assert second.returncode == 1


def _until(process: Stack, words: str) -> list[str]:
    """Return the output up to the line with these words."""
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line.rstrip())
        if words in line:
            return said
    raise AssertionError("\n".join(said))


def _marked(mark: Path) -> list[str]:
    """Return the processes, however they were started, that carry the stack's mark."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc")
    wanted = f"MARK={mark}\0".encode()
    folders = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [entry.name for entry in folders if wanted in _environment_of(entry)]


def _environment_of(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


def _free_port() -> int:
    with socket.socket() as attempt:
        attempt.bind(("127.0.0.1", 0))
        return int(attempt.getsockname()[1])
