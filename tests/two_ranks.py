"""Jobs of two ranks whose second is a copy of the first: what takes seconds is imported once."""

import os
import socket
import subprocess
import sys


def run_in_two(script, folder, timeout=900):
    """What a script that calls :func:`fork_into_two` prints as errors; if it fails, the test does."""
    done = subprocess.run(
        [sys.executable, str(script), str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def fork_into_two(main):
    """Run ``main`` on two ranks, as torchrun would start them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    child = os.fork()
    rank = "0" if child else "1"
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    os.environ |= {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    main()
    if child and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit("rank 1 has failed")
