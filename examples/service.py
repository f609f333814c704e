"""A service that classifies the videos that are sent to it over HTTP (Linux).

pip install "gcvideo[service]" && python service.py runs/RUN
curl -F file=@clip.mp4 "http://127.0.0.1:8000/classify?top_k=3"
curl --data-binary @match.mp4 "http://127.0.0.1:8000/classify?stride_seconds=1"

Processes read the files, for a decoder may hang or crash; a thread here computes the net for all.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from multiprocessing import get_context
from tempfile import NamedTemporaryFile, TemporaryFile
from threading import Lock
from typing import Annotated

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from starlette.requests import ClientDisconnect

import gcvideo
from gcvideo.data import VideoReadError, probe, write_video
from gcvideo.inference import TrainedClassifier, classify_windows

# Not fork, which would copy the locks of our threads; the server that forks has imported everything.
PROCESSES = get_context("forkserver")
REQUESTS = Counter("gcvideo_requests", "Requests to classify, by status", ["status"])
SECONDS = Histogram("gcvideo_seconds", "Time to wait, read, compute (net); total", ["stage"])
WAITING = Gauge("gcvideo_requests_waiting", "Uploaded files for which no reader is free yet")


class Sampler(TrainedClassifier):
    """Reads videos as every classifier does, but its net is at the other end of a pipe."""

    def logits(self, views, batch_size=None):
        self.pipe.send(views.flatten(0, 1).numpy())
        return torch.from_numpy(self.pipe.recv()).unflatten(0, views.shape[:2])


def answer(sampler, options, path, top_k, stride_seconds):
    """What the service answers for a file."""
    info = probe(path)
    if info.num_frames * info.width * info.height > options.max_gigapixels * 1e9:
        reason = f"it has {info.num_frames} frames of {info.width} x {info.height} pixels"
        raise VideoReadError(path, reason, f"send at most {options.max_gigapixels:g} gigapixels")

    def best(scores):
        ranking = sampler.rank(scores, top_k)
        return [{"label": p.label, "name": p.name, "score": p.score} for p in ranking]

    if stride_seconds is None:
        return {"predictions": best(sampler.scores(path))}
    windows = classify_windows(sampler, path, stride_seconds=stride_seconds, progress=False)
    times = zip(windows.starts.tolist(), windows.ends.tolist(), windows.scores, strict=True)
    rows = [{"start_seconds": s, "end_seconds": e, "predictions": best(x)} for s, e, x in times]
    return {"windows": rows}


def read_files(pipe, classes, protocol, options):
    """The work of a reader, until its pipe is closed."""
    # Ctrl-C, and managers of services, signal the whole group: what is in flight is still finished.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    sampler = Sampler(torch.nn.Identity(), classes=classes, protocol=protocol)
    sampler.pipe = pipe
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the service is gone
        while True:
            path, query = pipe.recv()
            signal.alarm(int(options.time_limit_seconds) + 10)  # if nobody is there to end a hang
            try:
                pipe.send(answer(sampler, options, path, *query))
            except VideoReadError as error:
                pipe.send(error)
            signal.alarm(0)


class Reader:
    """A process that reads one file at a time, whose clips a net computes."""

    def __init__(self, net, *args):
        self.net, self.args = net, args
        self.start()

    def start(self):
        self.pipe, theirs = PROCESSES.Pipe()
        self.process = PROCESSES.Process(target=read_files, args=(theirs, *self.args), daemon=True)
        self.process.start()
        theirs.close()

    def work(self, pipe, path, query):
        """The answer for a file, or the error of reading it; EOFError or OSError if it died."""
        started = time.perf_counter()
        pipe.send((path, query))
        while isinstance(found := pipe.recv(), np.ndarray):  # clips
            SECONDS.labels("read").observe(time.perf_counter() - started)
            logits = self.net.logits(found)
            started = time.perf_counter()
            pipe.send(logits)
        return found


class SharedNet:
    """A net computed in one thread; clips that wait at the same time share a forward pass."""

    def __init__(self, classifier):
        self.classifier, self.thread = classifier, ThreadPoolExecutor(1)
        self.lock, self.waiting, self.next_pass = Lock(), [], None

    def logits(self, clips):
        with self.lock:
            if not self.waiting:
                self.next_pass = self.thread.submit(self._compute)
            self.waiting.append(clips)
            place, next_pass = len(self.waiting) - 1, self.next_pass
        return next_pass.result()[place]

    def _compute(self):
        with self.lock:
            together, self.waiting = self.waiting, []
        views = torch.from_numpy(np.concatenate(together))
        with SECONDS.labels("net").time():
            logits = self.classifier.logits(views[None])[0].cpu()
        return [part.numpy() for part in logits.split([len(clips) for clips in together])]


class Service:
    """The readers, the net, and the queue between requests and them."""

    def __init__(self, classifier, options):
        self.is_ready, self.failure = False, None
        # Names of classes may be those of folders, which need not be UTF-8, as JSON must be.
        names = [n.encode("utf-8", "backslashreplace").decode() for n in classifier.classes]
        args = SharedNet(classifier), names, classifier.protocol, options
        self.readers = [Reader(*args) for _ in range(options.readers)]
        self.idle = asyncio.Queue()
        for reader in self.readers:
            self.idle.put_nowait(reader)

    async def warm_up(self):
        """Classify a made video with each reader; only then the service is ready."""
        try:
            with NamedTemporaryFile(suffix=".mp4") as file:
                write_video(file.name, np.zeros((16, 64, 64, 3), np.uint8))
                await asyncio.gather(*[self.answer(file, (1, None)) for _ in self.readers])
            self.is_ready = True
        except Exception as error:
            self.failure = f"the service has not become ready: {getattr(error, 'detail', error)}"
            signal.raise_signal(signal.SIGTERM)

    async def answer(self, file, query):
        """The answer of a reader to a file; one that dies, or is left behind, is replaced."""
        file.flush()
        path = f"/proc/{os.getpid()}/fd/{file.fileno()}"  # an upload has no other name
        with WAITING.track_inprogress(), SECONDS.labels("wait").time():
            reader = await self.idle.get()
        try:
            if not reader.process.is_alive():  # for want of memory, perhaps
                reader.start()
            found = await asyncio.to_thread(reader.work, reader.pipe, path, query)
        except BaseException as error:  # also where the time is over, or the service ends
            reader.process.kill()
            reader.start()
            if isinstance(error, EOFError | OSError):
                raise HTTPException(422, "its reader died; re-encode the video") from error
            raise
        finally:
            self.idle.put_nowait(reader)
        if isinstance(found, VideoReadError):
            raise HTTPException(422, f"cannot read the video: {found.reason}; {found.remedy}")
        return found


async def receive_upload(request, max_bytes):
    """The uploaded file, which is not in memory, and without a name, so that it ends with us."""
    too_large = HTTPException(413, f"an upload may have {max_bytes / 2**20:g} MB; send less")
    if int(request.headers.get("content-length", 0)) > max_bytes:
        raise too_large
    size = 0

    async def receive():
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        if size > max_bytes:
            raise too_large
        return message

    counted = Request(request.scope, receive)
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        for value in (await counted.form(max_files=1)).values():
            if not isinstance(value, str):
                return value.file
        raise HTTPException(400, "there is no file; send one as `curl -F file=@clip.mp4` does")
    file = TemporaryFile()  # noqa: SIM115 (whoever calls this closes it)
    async for part in counted.stream():
        file.write(part)
    return file


def build_app(service, options):
    """The addresses of the service."""

    @asynccontextmanager
    async def lifespan(_):
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(options.readers))
        service.warming_up = asyncio.create_task(service.warm_up())
        yield

    # Its pages of documentation would load scripts of other servers.
    app = FastAPI(title="gcvideo", lifespan=lifespan, docs_url=None, redoc_url=None)
    places = asyncio.Semaphore(options.readers + options.queue)

    @app.get("/readyz")
    async def ready():
        if not service.is_ready:
            raise HTTPException(503, "the net is warming up; try again", {"Retry-After": "1"})
        return {"status": "ready"}

    @app.post("/classify")
    async def classify(
        request: Request,
        top_k: Annotated[int, Query(ge=1)] = 5,
        stride_seconds: Annotated[float | None, Query(ge=0.05, le=3600)] = None,
    ):
        await ready()
        if places.locked():
            raise HTTPException(503, "all places are taken; try again", {"Retry-After": "1"})
        upload, seconds = None, options.time_limit_seconds
        try:
            async with places, asyncio.timeout(seconds):
                upload = await receive_upload(request, int(options.max_upload_mb * 2**20))
                with upload:
                    return await service.answer(upload, (top_k, stride_seconds))
        except TimeoutError:
            status, what = (408, "uploaded") if upload is None else (504, "answered")
            reason = f"it is not {what} after {seconds:g} s; send a shorter or smaller video"
            raise HTTPException(status, reason, {"Connection": "close"}) from None

    @app.middleware("http")
    async def measure(request, call_next):
        if request.url.path != "/classify":
            return await call_next(request)
        with SECONDS.labels("total").time(), REQUESTS.labels(500).count_exceptions():
            response = await call_next(request)
        REQUESTS.labels(response.status_code).inc()
        return response

    app.get("/healthz")(lambda: {"status": "alive"})
    app.get("/metrics")(lambda: Response(generate_latest(), media_type=CONTENT_TYPE_LATEST))
    # A client that hung up; the status, as in logs of nginx, is for the metrics.
    app.exception_handler(ClientDisconnect)(lambda *_: Response(status_code=499))
    return app


def main():
    """Load the net and serve it until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("checkpoint", help="a file, run folder, published name or hf://...; net.xml for int8")
    add("--host", default="127.0.0.1", help="0.0.0.0: whoever reaches this machine may use it")
    add("--port", type=int, default=8000, help="0: any free one")
    add("--device", help="of the net; default: a GPU if there is one")
    add("--engine", help="torch, openvino or onnxruntime")
    add("--precision", help="float32, bfloat16 or float16")
    add("--readers", type=int, default=len(os.sched_getaffinity(0)), help="processes that read")
    add("--queue", type=int, default=32, help="requests that may wait beside those; more get 503")
    add("--max-upload-mb", type=float, default=100)
    add("--max-gigapixels", type=float, default=40, help="of all frames: 10 minutes of full HD")
    add("--time-limit-seconds", type=float, default=60, help="of a request, from its start")
    add("--grace-seconds", type=int, default=20, help="for what is in flight at SIGTERM")
    options = parser.parse_args()
    PROCESSES.set_forkserver_preload(["__main__", "gcvideo.inference", "fastapi", "uvicorn"])
    loaded = gcvideo.load(options.checkpoint, device=options.device)
    classifier = loaded.for_inference(engine=options.engine, precision=options.precision)
    print(classifier, flush=True)
    service = Service(classifier, options)
    # uvicorn raises what it has received at its end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(service.failure))
    # Proxies keep a connection for a minute, and must not use one that is just closed.
    limits = {"timeout_keep_alive": 75, "timeout_graceful_shutdown": options.grace_seconds}
    try:
        uvicorn.run(build_app(service, options), host=options.host, port=options.port, **limits)
    finally:
        for reader in service.readers:
            reader.process.kill()


if __name__ == "__main__":
    main()
