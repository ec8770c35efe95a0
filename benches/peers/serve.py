"""How a peer works in turn with Cutline: one line of JSON is read, one number is answered.

The first order says what to prepare, and is answered with 0. After it comes "round", answered with the seconds
that the work took, and "peak", answered with the most bytes that the process ever had in memory.
"""

import json
import sys
import time


def peak():
    """Not `getrusage`: its maximum starts with that of the process which started this one."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def seconds_of(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def serve(prepare):
    """Does what `prepare` makes of the first order, as often as it is asked to."""
    work = prepare(json.loads(sys.stdin.readline()))
    print(0, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        print(seconds_of(work) if order == "round" else peak(), flush=True)
