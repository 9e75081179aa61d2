"""Many damaged files through parsers, by hand: `python -m tests.fuzz --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.harness import fuzz
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Run what is asked for, print how it ended and return the exit code."""
    names = [target.name for target in TARGETS]
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("names", nargs="*", metavar="TARGET", help=f"of {', '.join(names)}")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--start", type=int, default=0, help="number of the first damaged file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for inputs that fail")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(names):
        parser.error(f"no target {', '.join(sorted(unknown))}")
    failed = 0
    for target in TARGETS:
        if not asked.names or target.name in asked.names:
            cases = range(asked.start, asked.start + asked.count)
            report = fuzz(target, cases, seed=asked.seed, keep=asked.keep)
            for failure in report.failures:
                print(failure)
            print(report, flush=True)
            failed += len(report.failures)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
