"""Many random networks, each trained by every engine; what fails can be run again by its seed.

`make soak` takes other ones every time, `make soak SEED=1234 COUNT=1` that one.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
import traceback
import warnings

from agreement import check, check_blocks, check_prediction
from networks import network


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--count", type=int, default=500)
    chosen = parser.parse_args()
    warnings.simplefilter("error")
    os.environ["CHAINRULE_CODE_CACHE"] = "off"
    print(f"{chosen.count} networks from seed {chosen.seed}", flush=True)
    start, failed = time.perf_counter(), []
    for seed in range(chosen.seed, chosen.seed + chosen.count):
        try:
            case = network(random.Random(seed))
            check(case)
            check_blocks(case)
            check_prediction(case)
        except Exception:
            failed.append(seed)
            traceback.print_exc(file=sys.stdout)
            print(f"again: make soak SEED={seed} COUNT=1", flush=True)
        done = seed + 1 - chosen.seed
        if done % 50 == 0:
            print(f"{done} in {time.perf_counter() - start:.0f} s", flush=True)
    print(f"{len(failed)} of {chosen.count} failed" + (f": {failed}" if failed else ""))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
