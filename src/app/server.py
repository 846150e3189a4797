"""The API of the page, and the page: nothing is loaded from elsewhere, and nothing goes elsewhere."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware

from src.app.library import Library
from src.app.uploads import TooLargeError, Uploads
from src.errors import NoRoomError, UserError

_PAGE = Path(__file__).parent / "page"
_COOKIE = "tea_token"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOOPBACK = ["127.0.0.1", "localhost", "[::1]", "testserver"]
_STATUS = {TooLargeError: 413, NoRoomError: 507}


class Asked(BaseModel):
    """A sentence, and what it is asked of."""

    query: str = Field(max_length=2000, description="what is to be seen, in the language of the narratives")
    video: str | None = Field(None, max_length=64, description="the key of one video; none for all")
    model: str | None = Field(None, max_length=200, description="one of the models of /status; none for the first")
    top: int = Field(10, ge=1, le=200)


class Narrative(BaseModel):
    """What is told, and at which second."""

    time: float
    text: str


class Moment(BaseModel):
    """A moment in seconds, and the calibrated probability that it is the one that is asked for."""

    video: str
    name: str
    start: float
    end: float
    probability: float
    because: Narrative
    narratives: list[Narrative]


class Answered(BaseModel):
    """The moments of a sentence, most probable first."""

    query: str
    moments: list[Moment]


class Match(BaseModel):
    """How well a narrative of a video matches: the seconds that it stands for, and its cosine with the sentence."""

    start: float
    end: float
    text: str
    cosine: float


class Listed(BaseModel):
    """A video that can be searched; `playable` where its file is here."""

    key: str
    name: str
    playable: bool


class Status(BaseModel):
    """What can be searched, and how far narrating is."""

    videos: list[Listed]
    models: list[str]
    busy: bool
    done: int
    of: int
    problems: list[str]
    largest: int


def build(library: Library, uploads: Uploads, token: str | None) -> FastAPI:
    """The application.

    Args:
        library: What is searched.
        uploads: Where uploaded videos go.
        token: What a visitor must know; None where only this machine's own users reach it.
    """
    # FastAPI's pages of documentation load scripts from elsewhere; /openapi.json needs none.
    app = FastAPI(title="TEA", docs_url=None, redoc_url=None)

    @app.middleware("http")
    async def guard(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await go_on(request) if _may(request, token) else _enter(request, token)
        response.headers.update(_HEADERS)
        return response

    if token is None:
        # A page of another site that has its name point here must not read answers.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=_LOOPBACK)

    @app.exception_handler(UserError)
    async def told(request: Request, error: Exception) -> JSONResponse:
        status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 400)
        return JSONResponse({"detail": str(error)}, status)

    app.include_router(_page())
    app.include_router(_answers(library, uploads.largest))
    app.include_router(_videos(library, uploads))
    return app


def _page() -> APIRouter:
    """The page and its parts."""
    routes = APIRouter()

    @routes.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    @routes.get("/page/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        files = {file.name: file for file in _PAGE.iterdir()}
        return FileResponse(files[name]) if name in files else Response(status_code=404)

    return routes


def _answers(library: Library, largest: int) -> APIRouter:
    """What is there, and what a sentence finds in it; `largest` is the most bytes of an upload."""
    routes = APIRouter()

    @routes.get("/status")
    def status() -> Status:
        """What can be searched, and how far narrating is."""
        progress = library.progress
        videos = sorted(library.videos().values(), key=lambda video: (video.name.casefold(), video.key))
        return Status(
            videos=[Listed(key=each.key, name=each.name, playable=each.file is not None) for each in videos],
            models=list(library.rankers),
            busy=progress.busy,
            done=progress.done,
            of=progress.of,
            problems=progress.problems,
            largest=largest,
        )

    @routes.post("/search")
    def search(asked: Asked) -> Answered:
        """The moments that a sentence describes, in all videos or in one."""
        if not asked.query.strip():
            raise UserError("type a sentence: what is to be seen")
        moments = [
            Moment(
                video=video.key,
                name=video.name,
                start=round(hit.start, 2),
                end=round(hit.end, 2),
                probability=round(hit.probability, 4),
                because=Narrative(**hit.because._asdict()),
                narratives=[Narrative(**each._asdict()) for each in hit.narratives],
            )
            for video, hit in library.search(asked.query, asked.top, asked.video, asked.model)
        ]
        return Answered(query=asked.query, moments=moments)

    @routes.get("/curve")
    def curve(
        query: Annotated[str, Query(max_length=2000)], video: Annotated[str, Query(max_length=64)]
    ) -> list[Match]:
        """How well each narrative of a video matches a sentence."""
        found = library.curve(query, video)
        rows: Any = zip(found.spans.tolist(), found.texts, found.cosines.tolist(), strict=True)
        return [Match(start=start, end=end, text=text, cosine=cosine) for (start, end), text, cosine in rows]

    return routes


def _videos(library: Library, uploads: Uploads) -> APIRouter:
    """The videos themselves, out and in."""
    routes = APIRouter()

    @routes.get("/videos/{key}")
    def video(key: str) -> FileResponse:
        """The file of a video; parts of it by Range."""
        found = library.video(key)
        if found.file is None or not found.file.is_file():
            raise UserError("the file of this video is not here any more")
        return FileResponse(found.file, headers={"Cache-Control": "private, max-age=3600"})

    @routes.put("/videos")
    async def upload(request: Request, name: Annotated[str, Query(max_length=400)]) -> dict[str, str]:
        """Hand in a video as the body itself; it is narrated next."""
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > uploads.largest:
            raise TooLargeError(
                f"this video has more than {uploads.largest >> 20} MiB, the most that is taken (largest=…)"
            )
        kept = await uploads.take(name, request.stream())
        library.update()
        return {"id": kept}

    return routes


def _may(request: Request, token: str | None) -> bool:
    if token is None:
        return True
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    given = [request.cookies.get(_COOKIE, ""), bearer]
    return any(secrets.compare_digest(each.encode(), token.encode()) for each in given)


def _enter(request: Request, token: str | None) -> Response:
    """The answer to who has not shown the token: a cookie for who brings it in the address, and no more for others."""
    given = request.query_params.get("token", "")
    if token is None or not secrets.compare_digest(given.encode(), token.encode()):
        return JSONResponse({"detail": "open the address that the command printed, which holds the token"}, 401)
    entered = RedirectResponse("/", 303)
    entered.set_cookie(_COOKIE, token, httponly=True, samesite="strict")
    return entered
