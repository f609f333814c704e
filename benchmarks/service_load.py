"""Many requests to the service of examples: does a good one fail, and does its memory grow?

python benchmarks/service_load.py runs/RUN clips/*.mp4 --requests 10000 --service="--readers 4"

Starts examples/service.py on a free port of this machine (Linux), and sends it the videos in turns
from several clients at once; a share of the uploads is broken. The exit code is 1 if a good upload
was not answered, or not as the first time, if a broken one was not refused with a reason, if the RSS
of the service grew by more than 5 % after the first thousand requests (or the first half), or if it
did not end with 0 after SIGTERM. Clients and service share the cores, so the latencies are those of
a busy machine.
"""

import argparse
import http.client
import json
import random
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from soak import GROWTH, Usage

WARM_UP = 1000
START_SECONDS = 300
END_SECONDS = 60
SCORE_TOLERANCE = 1e-3  # which clips share a forward pass may move the last digits
SERVICE = Path(__file__).resolve().parent.parent / "examples" / "service.py"


@dataclass
class Result:
    """What became of the uploads of one kind.

    Args:
        seconds: from the start of each request to the end of its answer.
        statuses: of each answer; 0: there was none.
        faults: what is not as it must be.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class Service:
    """The service as a process of its own.

    Args:
        checkpoint: net that it serves.
        options: further words of its command line.
        folder: where it writes its log.
    """

    def __init__(self, checkpoint: str, options: Sequence[str], folder: Path) -> None:
        self.log = folder / "log.txt"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, SERVICE, checkpoint, "--port", "0", *options],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def await_ready(self) -> None:
        """Wait until it answers; RuntimeError with its log if it does not."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            found = re.search(r"running on http://127\.0\.0\.1:(\d+)", self.log.read_text())
            if found:
                self.port = int(found[1])
                with closing(self.connect()) as connection:
                    connection.request("GET", "/readyz")
                    if connection.getresponse().status == 200:
                        return
            time.sleep(0.2)
        raise RuntimeError(f"the service has not become ready; its log:\n{self.log.read_text()}")

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)

    def memory(self) -> list[int]:
        """Resident bytes of it and then of its processes; what they share counts in each."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            waiting += [int(word) for word in children.split()]
            found.append(Usage.read(pid).rss)
        return found

    def stop(self) -> list[str]:
        """End it with SIGTERM; what is not as it must be."""
        self.process.terminate()
        try:
            status = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return [f"it did not end within {END_SECONDS} s of SIGTERM"]
        return [] if status == 0 else [f"the exit status after SIGTERM is {status}, expected 0"]


@contextmanager
def running(checkpoint: str, options: Sequence[str]) -> Iterator[Service]:
    """A service that is ready, and killed afterwards if it still runs."""
    with TemporaryDirectory() as folder:
        service = Service(checkpoint, options, Path(folder))
        try:
            service.await_ready()
            yield service
        finally:
            service.process.kill()
            service.process.wait()


def broken_uploads(video: bytes) -> list[bytes]:
    """Uploads that nobody can read, in different ways."""
    noise = random.Random(0).randbytes(4096)
    page = b"<!DOCTYPE html><html>This video is unavailable</html>"
    return [b"", page, noise, video[: min(1000, len(video) // 2)], video[::-1]]


class Load:
    """The requests, and what becomes of them.

    Args:
        service: that is asked.
        videos: contents of good files.
        is_broken: for each request, whether its upload is a broken one.
    """

    def __init__(
        self, service: Service, videos: Sequence[bytes], is_broken: Sequence[bool]
    ) -> None:
        self.service, self.videos, self.is_broken = service, videos, is_broken
        self.broken = broken_uploads(videos[0])
        self.results = {"good": Result(), "broken": Result()}
        self._first: dict[int, list[dict[str, float]]] = {}

    def send(self, numbers: range, clients: int) -> None:
        """Send the requests of these numbers from several clients."""
        waiting = iter(numbers)  # taking from it is atomic

        def work(_: int) -> None:
            with closing(self.service.connect()) as connection:
                for number in waiting:
                    self._request(connection, number)

        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(work, range(clients)))

    def _request(self, connection: http.client.HTTPConnection, number: int) -> None:
        is_broken = self.is_broken[number]
        uploads = self.broken if is_broken else self.videos
        choice = number % len(uploads)
        result = self.results["broken" if is_broken else "good"]
        start = time.perf_counter()
        try:
            connection.request("POST", "/classify", uploads[choice])
            answer = connection.getresponse()
            status, text = answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            status, text = 0, repr(error)
        result.seconds.append(time.perf_counter() - start)
        result.statuses.append(status)
        is_right = self._is_refused if is_broken else self._is_answered
        if not is_right(choice, status, text):
            result.faults.append(f"request {number}: {status} {text}")

    def _is_refused(self, _: int, status: int, text: str) -> bool:
        return 400 <= status < 500 and "cannot read the video: " in json.loads(text)["detail"]

    def _is_answered(self, choice: int, status: int, text: str) -> bool:
        if status != 200:
            return False
        found = json.loads(text)["predictions"]
        first = self._first.setdefault(choice, found)
        return all(
            abs(a["score"] - b["score"]) < SCORE_TOLERANCE
            for a, b in zip(found, first, strict=True)
        )


def show(load: Load, seconds: float, memory: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    """Print the tables of latencies and of memory."""
    count = sum(len(result.seconds) for result in load.results.values())
    print(f"{count} requests in {seconds:.1f} s, {count / seconds:.1f} per second")
    print(f"\n{'uploads':8}{'p50, ms':>10}{'p90, ms':>10}{'p99, ms':>10}  statuses")
    for kind, result in load.results.items():
        if result.seconds:
            counts = Counter(result.statuses)
            times = 1000 * np.percentile(result.seconds, [50, 90, 99])
            statuses = ", ".join(f"{n} x {status}" for status, n in sorted(counts.items()))
            print(f"{kind:8}" + "".join(f"{time:10.1f}" for time in times) + f"  {statuses}")
    print(f"\n{'RSS of the service, MB':24}{'main':>10}{'all':>10}{'processes':>12}")
    for name, sizes in zip(names, memory, strict=True):
        print(f"{name:24}{sizes[0] / 1e6:10.1f}{sum(sizes) / 1e6:10.1f}{len(sizes):12}")


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of this script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkpoint", help="net that is served")
    parser.add_argument("videos", nargs="+", type=Path, help="files that can be read")
    parser.add_argument("--requests", type=int, default=10000)
    parser.add_argument("--clients", type=int, default=8, help="that ask at the same time")
    parser.add_argument("--broken", type=float, default=0.05, help="share of broken uploads")
    parser.add_argument("--service", type=shlex.split, default=[], help="options of the service")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args(arguments)
    if options.requests < 2 or options.clients < 1 or not 0 <= options.broken < 1:
        parser.error(
            f"requests is {options.requests}, clients {options.clients} and broken {options.broken}; "
            "give at least 2 requests, 1 client, and a share of at least 0 and less than 1"
        )
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Send the requests and show what became of them; 1 if something is not as it must be."""
    options = parse_arguments(arguments)
    dice = random.Random(0)
    is_broken = [dice.random() < options.broken for _ in range(options.requests)]
    warm_up = min(WARM_UP, options.requests // 2)
    with running(options.checkpoint, options.service) as service:
        load = Load(service, [path.read_bytes() for path in options.videos], is_broken)
        start = time.perf_counter()
        load.send(range(warm_up), options.clients)
        memory = [service.memory()]
        load.send(range(warm_up, options.requests), options.clients)
        seconds = time.perf_counter() - start
        memory.append(service.memory())
        faults = service.stop()
    show(load, seconds, memory, [f"after {warm_up} requests", f"after {options.requests}"])
    before, after = map(sum, memory)
    if after > GROWTH * before:
        faults.append(f"memory grew from {before / 1e6:.1f} to {after / 1e6:.1f} MB")
    for kind, result in load.results.items():
        faults += [f"{kind} {fault}" for fault in result.faults]
    if options.json:
        figures = {kind: asdict(result) for kind, result in load.results.items()}
        options.json.write_text(json.dumps({**figures, "memory": memory, "faults": faults}))
    for fault in faults[:20]:
        print(fault, file=sys.stderr)
    if len(faults) > 20:
        print(f"and {len(faults) - 20} more", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
