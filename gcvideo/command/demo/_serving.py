"""``gcvideo demo``: a page on this machine that classifies videos dropped on it."""

import errno
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from omegaconf import DictConfig

from gcvideo._console import Console
from gcvideo.command._device import choose_device
from gcvideo.command._interruption import Interrupted, interruptible
from gcvideo.command.demo._answer import Answerer, AnswerSettings
from gcvideo.command.demo._guard import Guard
from gcvideo.command.demo._page import build_page
from gcvideo.command.demo._process import AnswerProcess
from gcvideo.inference.engine._tracing import import_packages

_CONSOLE = Console()
_SECONDS_TO_FINISH = 2
# Read by Gradio and by huggingface_hub, which it imports: neither may ask or tell another machine anything.
_OFFLINE = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}


def demo(cfg: DictConfig) -> None:
    """Serve the page until a signal comes, as configured by ``conf/demo.yaml``.

    Raises:
        GraphError: if the extra is not installed.
        ValueError: if the host is no address of this machine or the port is taken, and as from
            :func:`~gcvideo.inference.load` and ``for_inference``.
        Interrupted: after SIGTERM; SIGINT is a normal end.
    """
    with (
        interruptible() as received,
        TemporaryDirectory(prefix="gcvideo-demo-") as folder,
        _environment(_OFFLINE | {"GRADIO_TEMP_DIR": folder}),
    ):
        try:
            import_packages("the demo", ["gradio"], 'pip install "gcvideo[demo]"')
            with _listening(cfg.host, cfg.port) as listener:
                _serve(cfg, Path(folder), listener)
        except Interrupted:
            if signal.SIGINT not in received:
                raise
            _CONSOLE.print("stopped")


def _serve(cfg: DictConfig, folder: Path, listener: socket.socket) -> None:
    uvicorn: Any = import_module("uvicorn")  # comes with Gradio
    _CONSOLE.print(f"checkpoint {cfg.checkpoint}", soft_wrap=True)
    if not ip_address(listener.getsockname()[0]).is_loopback:
        _CONSOLE.print(
            f"warning: host is {cfg.host}, so whoever reaches this machine can use the page, without a "
            "password and unencrypted; host=127.0.0.1 is for this machine alone",
            soft_wrap=True,
        )
    settings = AnswerSettings(
        checkpoint=str(cfg.checkpoint),
        device=str(choose_device(cfg.device)),
        engine=cfg.engine,
        precision=cfg.precision,
        packages=list(cfg.packages),
        num_threads=torch.get_num_threads(),
        max_video_seconds=cfg.max_video_seconds,
        stride_seconds=cfg.stride_seconds,
        threshold=cfg.threshold,
    )
    process = AnswerProcess(Answerer(settings), time_limit_seconds=cfg.time_limit_seconds)
    try:
        server = uvicorn.Server(
            uvicorn.Config(
                _application(cfg, folder, process),
                log_level="warning",
                timeout_graceful_shutdown=_SECONDS_TO_FINISH,
            )
        )
        _CONSOLE.print(f"page       {_address(listener)} (Ctrl-C ends it)", soft_wrap=True)
        server.run(sockets=[listener])
    finally:
        process.close()


def _application(cfg: DictConfig, folder: Path, process: AnswerProcess) -> Any:
    """The ASGI application: Gradio's page behind the guard."""
    gr: Any = import_module("gradio")
    fastapi: Any = import_module("fastapi")  # comes with Gradio
    max_bytes = int(cfg.max_upload_mb * 2**20)
    page = build_page(
        process.ask,
        title=f"gcvideo: {Path(str(cfg.checkpoint)).name}",
        facts=[
            f"Drop a video of up to {cfg.max_upload_mb:g} MB and {cfg.max_video_seconds:g} seconds. It is read "
            "on the machine that runs this page, and deleted when it has been classified."
        ],
    )
    script = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
    application = gr.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None),
        page,
        path="/",
        allowed_paths=[],
        blocked_paths=["/"],
        max_file_size=max_bytes,
        show_error=False,
        ssr_mode=False,
        footer_links=[],
        head=f"<script>{script}</script>",
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
    )
    return Guard(application, folder=folder, max_upload_bytes=max_bytes)


def _listening(host: str, port: int) -> socket.socket:
    """A socket that has the port already, so that a mistake shows before the net is loaded."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise ValueError(
                f"host is '{host}', which is no address of this machine; give 127.0.0.1 for this machine "
                "alone, or 0.0.0.0 for its network"
            ) from error
        reason = os.strerror(error.errno or 0)
        raise ValueError(
            f"port is {port}, which cannot be opened on {host} ({reason}); give another, or port=0 "
            "for any free one"
        ) from error


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Within, these are variables of the environment."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
