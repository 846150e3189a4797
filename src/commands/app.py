"""What `python -m src.app` does: serve the page and the API."""

from __future__ import annotations

import ipaddress
import secrets
from pathlib import Path

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
    own = OmegaConf.merge(cfg, {"videos": str(uploads.folder), "collection": "uploads"})
    collections = [Collection(cfg=each) for each in ([cfg] if cfg.videos or cfg.collection else []) + [own]]
    rankers = {str(cfg.model.name): collections[0].ranker}
    if cfg.get("compare") is not None:
        rankers[str(cfg.compare.name)] = instantiate(cfg.compare.ranker, _convert_="all")
    library = Library(collections, rankers, uploads.names)
    token = None if _is_loopback(cfg.host) else secrets.token_urlsafe(24)
    library.update()
    place = f"http://{cfg.host}:{cfg.port}/"
    print(f"the page: {place}" + (f"?token={token}" if token else ""), flush=True)
    settings = uvicorn.Config(build(library, uploads, token), host=cfg.host, port=cfg.port, log_level="warning")
    try:
        uvicorn.Server(settings).run()
    except SystemExit as error:
        raise UserError(f"{cfg.host}:{cfg.port} cannot be listened at: give another port=…") from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
