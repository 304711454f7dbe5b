"""Collects the Markdown files of the tree for the documentation site: `make docs`."""

import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "var" / "docs"  # `docs_dir` of mkdocs.yml
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s#]+)")


def collect(into: Path = SOURCES) -> int:
    """Copy all Markdown files, and the files they link to, in the same folders; return a count.

    A file in the same folder as in the tree needs no change of its links.
    """
    shutil.rmtree(into, ignore_errors=True)
    listed = subprocess.check_output(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md", "docs/assets"],
        cwd=ROOT,
        text=True,
    )
    files = {ROOT / name for name in listed.split() if (ROOT / name).exists()}
    for page in [file for file in files if file.suffix == ".md"]:
        linked = (page.parent / target for target in LINK.findall(page.read_text()))
        files |= {target.resolve() for target in linked if target.is_file()}
    for file in files:
        copy = into / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    return len(files)


if __name__ == "__main__":
    print(f"{collect()} files in {SOURCES.relative_to(ROOT)}")
