"""python child.py PARENT CORES COMMAND…: becomes the command, on these cores, and is stopped when the parent dies.

Started as a file, so that it imports nothing but the standard library.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, cores, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # survives exec
        if os.getppid() != int(parent):
            sys.exit(128 + signal.SIGTERM)  # died before we asked
        if cores:
            os.sched_setaffinity(0, set(map(int, cores.split(","))))
    os.execv(command[0], command)
