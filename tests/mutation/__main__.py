"""Plants small faults, one at a time, and lists those that no test notices.

python -m tests.mutation ['trainables.models.losses*'] [--sample 1000 --seed 0]
"""

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from fnmatch import fnmatch

from scipy.stats import binomtest

from tests.mutation.faults import NO_TESTS, SURVIVED, TIMEOUT, Verdicts, generate
from tests.mutation.sample import in_random_order, module_of

WORDS = {SURVIVED: "survived", NO_TESTS: "no test", TIMEOUT: "timeout", None: "not run"}
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "HYPOTHESIS_PROFILE": "faults"}


def main() -> None:
    """Run faults that have no verdict yet, and print survivors and a table."""
    parser = argparse.ArgumentParser(description="List small faults that no test notices.")
    parser.add_argument("pattern", nargs="?", default="*", help="names of faults, as in a shell")
    parser.add_argument("--sample", type=int, help="this many, stratified over modules")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="also those that survived before")
    parser.add_argument("--list", action="store_true", help="run nothing: print what is known")
    options = parser.parse_args()
    if not options.list:
        generate()
    verdicts = Verdicts()
    everything = [name for name in verdicts.names() if fnmatch(name, options.pattern)]
    chosen = in_random_order(everything, options.seed)[: options.sample]
    repeated = {None, SURVIVED, NO_TESTS} if options.again else {None}
    status = 0
    if not options.list:
        status = _run(verdicts, [name for name in chosen if verdicts.of(name) in repeated])
    for name in sorted(chosen):
        if verdicts.of(name) in (SURVIVED, NO_TESTS, TIMEOUT):
            print(f"{WORDS[verdicts.of(name)]}: {name}")
    print(table(verdicts, everything, chosen))
    sys.exit(status)


def _run(verdicts: Verdicts, names: Sequence[str]) -> int:
    """Run faults in a session of pytest in mutants/, and keep each verdict as it comes."""
    if not names:
        return 0
    with subprocess.Popen(
        [sys.executable, "-m", "tests.mutation.session"],
        cwd="mutants",
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write("\n".join(names))
        session.stdin.close()
        done = 0
        for line in session.stdout:
            if not line.startswith('{"name"'):
                print(line, end="")
                continue
            found = json.loads(line)
            verdicts.record(found["name"], found["verdict"])
            done += 1
            word = WORDS.get(found["verdict"], "noticed")
            print(f"{done}/{len(names)} {word} {found['seconds']} s {found['name']}", flush=True)
    return session.returncode


def table(verdicts: Verdicts, everything: Sequence[str], chosen: Sequence[str]) -> str:
    """Return a table of modules: faults, those run, noticed, survived, and the share noticed.

    A timeout counts as noticed; a fault in a function that no test executes counts as survived. The
    interval is the exact binomial one, 95 %.
    """
    faults: dict[str, list[str]] = defaultdict(list)
    run: dict[str, list[str]] = defaultdict(list)
    for name in everything:
        for key in (module_of(name), "all"):
            faults[key].append(name)
    for name in chosen:
        for key in (module_of(name), "all"):
            if verdicts.of(name) is not None:
                run[key].append(name)
    rows = []
    for key in sorted(faults, key=lambda key: (key == "all", key)):
        n = len(run[key])
        survived = sum(verdicts.of(name) in (SURVIVED, NO_TESTS) for name in run[key])
        noticed = n - survived
        rows.append((key, len(faults[key]), n, noticed, survived, share(noticed, n)))
    header = ("module", "faults", "run", "noticed", "survived", "share noticed")
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def share(noticed: int, n: int) -> str:
    """Return a share in percent with its exact binomial interval of 95 %."""
    if not n:
        return ""
    interval = binomtest(noticed, n).proportion_ci(0.95)
    return f"{noticed / n:.0%} [{interval.low:.0%}, {interval.high:.0%}]"


if __name__ == "__main__":
    main()
