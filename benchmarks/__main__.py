"""``python scripts/benchmark.py KEY=VALUE ...``: times blocks, nets and steps against those of others."""

import sys

from speed import benchmark

from gcvideo.command._application import run_command

if __name__ == "__main__":
    run_command("benchmark", sys.argv[1:], benchmark, config_name="benchmark")
