"""``python scripts/benchmark.py KEY=VALUE ...``: times blocks, nets and steps against those of others."""

import sys

from gcvideo.command._application import run_command
from gcvideo.command._command import Command

if __name__ == "__main__":
    command = Command("time what we compute against others", "speed:benchmark", "benchmark")
    run_command("benchmark", sys.argv[1:], command)
