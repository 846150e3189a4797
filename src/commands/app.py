"""What `python -m src.app` does: serve the page and the API."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.errors import UserError
from src.retrieval import Collection


def app(cfg: DictConfig) -> None:
    """Serve until it is stopped.

    Raises:
        UserError: The extra `app` is not installed, or the address is taken.
    """
    try:
        import uvicorn

        from src.app.library import Library
        from src.app.server import build
        from src.app.uploads import Uploads
    except ImportError as error:
        raise UserError(f"the page needs {error.name}: pip install '.[app]'") from error

    uploads = Uploads(Path(str(cfg.uploads)), cfg.largest << 20)
    own: Any = OmegaConf.merge(cfg, {"videos": str(uploads.folder), "collection": "uploads"})
    handed_in = Collection(cfg=own)
    collections = [Collection(cfg=cfg)] if cfg.videos or cfg.collection else []
    rankers = {str(cfg.model.name): handed_in.ranker}
    if cfg.get("compare") is not None:
        name = str(cfg.compare.name)
        rankers[f"{name} (2)" if name in rankers else name] = instantiate(cfg.compare.ranker, _convert_="all")
    library = Library(collections, rankers, uploads.names, handed_in)
    token = None if _is_loopback(cfg.host) else secrets.token_urlsafe(24)
    with _listening(cfg.host, cfg.port) as listener:
        library.update()
        place = f"http://{_written(cfg.host)}:{listener.getsockname()[1]}/"
        print(f"the page: {place}" + (f"?token={token}" if token else ""), flush=True)
        settings = uvicorn.Config(build(library, uploads, token), log_level="warning")
        uvicorn.Server(settings).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(f"{host}:{port} cannot be listened at ({error.strerror}): give another port=…") from error


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
