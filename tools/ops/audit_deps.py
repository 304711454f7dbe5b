"""Lists known vulnerabilities of the pinned packages, by pip-audit.

Without a network it prints that. ACCEPTED has vulnerabilities that do not concern Kabar, or
have no fix yet, with the reason.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ACCEPTED: dict[str, str] = {}
TIMEOUT = 90.0  # seconds
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
    """Return 1 where vulnerabilities are known, else 0, also without an answer."""
    wanted = [word for name in pins for word in ("-r", str(ROOT / name))]
    try:
        done = subprocess.run(
            [sys.executable, "-m", *COMMAND, *wanted],
            capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        report = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        print("Vulnerabilities: not checked, as their database is unreachable.", file=sys.stderr)
        return 0
    vulnerabilities = list(_vulnerabilities(report))
    print(
        "\n".join(vulnerabilities)
        or f"No known vulnerabilities in {len(report['dependencies'])} packages."
    )
    return 1 if vulnerabilities else 0


def _vulnerabilities(report: dict[str, Any]) -> Iterator[str]:
    for package in report["dependencies"]:
        for found in package.get("vulns", ()):
            if not {found["id"], *found["aliases"]} & ACCEPTED.keys():
                fixed = ", ".join(found["fix_versions"]) or "no version"
                yield f"{package['name']} {package['version']}: {found['id']}; fixed in {fixed}"


if __name__ == "__main__":
    sys.exit(main())
