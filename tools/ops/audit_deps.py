"""Lists known vulnerabilities of the pinned packages, by pip-audit; offline it says so.

A hole that does not concern us, or has no remedy yet, is named in ACCEPTED with the reason.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ACCEPTED: dict[str, str] = {}
NO_ANSWER = 90.0  # seconds
COMMAND = (
    "pip_audit",
    "--disable-pip",
    "--require-hashes",
    "--format",
    "json",
    "--progress-spinner",
    "off",
)


def main(pins: Sequence[str] = ("requirements.txt",)) -> int:
    """Return 0 where nothing is known, also where nobody could be asked."""
    wanted = [word for name in pins for word in ("-r", str(ROOT / name))]
    try:
        done = subprocess.run(
            [sys.executable, "-m", *COMMAND, *wanted],
            capture_output=True, text=True, timeout=NO_ANSWER, check=False,
        )  # fmt: skip
        told = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        print("Known holes were not looked for: the list could not be had.", file=sys.stderr)
        return 0
    holes = list(_holes(told))
    print("\n".join(holes) or f"No known holes in {len(told['dependencies'])} packages.")
    return 1 if holes else 0


def _holes(told: dict[str, Any]) -> Iterator[str]:
    for package in told["dependencies"]:
        for hole in package.get("vulns", ()):
            if not {hole["id"], *hole["aliases"]} & ACCEPTED.keys():
                mended = ", ".join(hole["fix_versions"]) or "no version yet"
                yield f"{package['name']} {package['version']}: {hole['id']}; mended in {mended}"


if __name__ == "__main__":
    sys.exit(main())
