"""Kill tasks by hand: `python -m tests.kills --count 300 --seed 1`; exit 1 where one left a trace."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.kills.harness import WEIGHTS, Killing


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tasks", default=",".join(WEIGHTS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        killing = Killing(Path(folder), options.seed, options.tasks.split(","), tell)
        tally = killing.kill(options.count)
    sys.stdout.write("\n".join(tally.lines()) + "\n")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
