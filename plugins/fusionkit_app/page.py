"""The page: what is on it, and what happens when it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import fusionkit
from fusionkit import FusionkitError, Registry, UsageError

from .palette import PALETTES
from .session import Asked, Outcome, Session

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "frame-ancestors 'none'; form-action 'self'"
)
"""Content-Security-Policy: the browser asks nobody else, whatever the page holds."""

OWN = (b"127.0.0.1", b"localhost")

KEPT = 3600
"""Seconds after which uploads and what was shown are deleted."""

FONT = ["system-ui", "sans-serif"]


class _Alone:
    """Answers requests that name this machine, as no page of another one can, with the policy."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = dict(scope.get("headers", ())).get(b"host", b"").rsplit(b":", 1)[0]
        if scope["type"] in ("http", "websocket") and host not in OWN:
            await PlainTextResponse("this page is for this machine alone", 403)(
                scope, receive, send
            )
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        await self._app(scope, receive, sent)


@contextmanager
def serve(results: Path, registry: Registry, port: int, upload: int) -> Iterator[str]:
    """Serve the page while the block runs, on 127.0.0.1 alone; yield its address.

    Raises
    ------
    UsageError
        The port is taken.
    """
    page = build(results, registry)
    page.queue(max_size=16, default_concurrency_limit=1)
    try:
        _, address, _ = page.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            max_file_size=f"{upload}mb",
            allowed_paths=[str(results)],
            footer_links=[],
            ssr_mode=False,
            theme=gr.themes.Default(font=FONT, font_mono=["ui-monospace", "monospace"]),
            app_kwargs={"middleware": [Middleware(_Alone)]},
        )
    except OSError:
        raise UsageError(f"--port {port} is taken: give another one") from None
    try:
        yield address
    finally:
        page.close(verbose=False)


def build(results: Path, registry: Registry) -> Any:
    """Return the page, a ``gradio.Blocks``.

    Parameters
    ----------
    results
        The folder that fused images are written into.
    registry
        Where tasks, weightings and preparations are found.
    """
    weightings = [provided.called for provided in registry.all(fusionkit.WEIGHTING)]
    sessions: dict[str, Session] = {}

    def session(request: gr.Request) -> Session:
        name = request.session_hash or ""
        if name not in sessions:  # each has a folder of its own
            sessions[name] = Session(results, registry)
        return sessions[name]

    def cancel(request: gr.Request) -> None:
        session(request).cancel()

    def leave(request: gr.Request) -> None:
        gone = sessions.pop(request.session_hash or "", None)
        if gone is not None:
            gone.close()

    with gr.Blocks(
        title="fusionkit", analytics_enabled=False, delete_cache=(KEPT // 4, KEPT)
    ) as page:
        outcome = gr.State(None, time_to_live=KEPT)
        gr.Markdown("# fusionkit\nImages of one scene in, one image out.")
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                files = gr.File(
                    label="Images of one scene, or a stack",
                    file_count="multiple",
                    elem_id="files",
                    height=180,
                )
                folder = gr.UploadButton(
                    "or a folder of them", file_count="directory", size="sm", elem_id="folder"
                )
                controls = _controls(weightings)
                with gr.Row():
                    go = gr.Button("Fuse", variant="primary", elem_id="fuse")
                    stop = gr.Button("Cancel", variant="stop", elem_id="cancel")
            with gr.Column(scale=3):
                told = gr.Textbox(label="What was done", lines=2, elem_id="told")
                slider = gr.ImageSlider(
                    label="A source, and the fused image",
                    format="png",
                    max_height=640,
                    interactive=False,
                    elem_id="slider",
                    buttons=["fullscreen"],
                )
                before = gr.Radio(label="Beside it", choices=[], visible=False, elem_id="before")
                palette = gr.Radio(
                    list(PALETTES), label="Temperatures", visible=False, elem_id="palette"
                )
                scale = gr.Image(
                    show_label=False,
                    format="png",
                    interactive=False,
                    visible=False,
                    elem_id="scale",
                    buttons=[],
                )
                kept = gr.Files(label="To keep: the image and its record", elem_id="kept")
                with gr.Tabs():
                    with gr.Tab("What each source counts"):
                        weights = gr.Gallery(
                            show_label=False, format="png", columns=4, elem_id="weights"
                        )
                    with gr.Tab("Metrics"):
                        measure = gr.Button("Measure", size="sm", elem_id="measure")
                        metrics = gr.Dataframe(
                            headers=["metric", "value"], interactive=False, elem_id="metrics"
                        )
                    with gr.Tab("To do it again"):
                        command = gr.Code(
                            label="Command", language="shell", interactive=False, elem_id="command"
                        )
                        recipe = gr.Code(label="Recipe", language="json", interactive=False)

        def fuse(
            given: list[str] | None,
            task: str | None,
            weighting: str | None,
            align: str | None,
            noise: str | None,
            match: str | None,
            radiance: str | None,
            observe: str | None,
            request: gr.Request,
            progress: gr.Progress = gr.Progress(),  # noqa: B008  # as gradio finds it
        ) -> dict[Any, Any]:
            asked = (task, weighting, align, noise, match, radiance, observe)
            said = (text or "" for text in asked)
            paths = sorted(given or [], key=lambda path: Path(path).name)
            progress(0, desc="fusing")
            found = _told(
                lambda: session(request).fuse(
                    paths,
                    Asked(*said),
                    lambda done, of: progress((done, of), unit="steps"),
                ),
                paths,
            )
            names = [f"{n + 1}: {Path(path).name}" for n, path in enumerate(found.files)]
            beside, bar, choice = _beside(found, 0, PALETTES[0])
            return {
                outcome: found,
                told: "\n".join(
                    [f"Task {found.decided}", *(_named(n, paths) for n in found.notes)]
                ),
                slider: beside,
                scale: bar,
                palette: choice,
                before: gr.Radio(
                    choices=[(name, n) for n, name in enumerate(names)],
                    value=0,
                    visible=len(found.sources) > 1,
                ),
                kept: [str(found.image), str(found.record)],
                weights: [(image, name) for image, name in zip(found.weights, names, strict=False)],
                metrics: [],
                command: found.command,
                recipe: found.recipe,
            }

        def compare(found: Outcome | None, number: int | None, chosen: str | None) -> Any:
            if found is None or number is None or not found.sources:
                return gr.skip(), gr.skip(), gr.skip()
            return _beside(found, number, chosen or PALETTES[0])

        def measured(found: Outcome | None, request: gr.Request) -> list[list[Any]]:
            if found is None:
                raise gr.Error("fuse first")
            rows = _told(lambda: session(request).measure(found))
            return [list(row) for row in rows]

        results_shown = [
            outcome, told, slider, before, palette, scale, kept, weights, metrics, command, recipe,
        ]  # fmt: skip
        go.click(fuse, [files, *controls], results_shown, api_visibility="private")
        stop.click(cancel, None, None, queue=False, api_visibility="private")
        folder.upload(lambda chosen: chosen, folder, files, api_visibility="private")
        for choosing in (before, palette):
            choosing.input(
                compare,
                [outcome, before, palette],
                [slider, scale, palette],
                api_visibility="private",
            )
        measure.click(measured, outcome, metrics, api_visibility="private")
        page.unload(leave)
    return page


def _beside(found: Outcome, number: int, palette: str) -> tuple[Any, Any, Any]:
    """Return a source and the fused image, and, of temperatures, their scale and palettes."""
    shown = found.sources[number] if found.sources else found.fused
    warm = found.warm.get(number)
    if warm is None:
        hidden = gr.update(visible=False)
        return (shown, found.fused), hidden, hidden
    image, bar = warm[palette]
    chosen = gr.update(value=palette, visible=True)
    return (image, found.fused), gr.update(value=bar, visible=True), chosen


def _controls(weightings: Sequence[str]) -> list[gr.components.Component]:
    """Return the controls, in the order of the fields of ``Asked``."""
    task = gr.Dropdown(["auto", *fusionkit.tasks()], value="auto", label="Task", elem_id="task")
    with gr.Accordion("More", open=False):
        weighting = gr.Dropdown(
            [("the task's own", ""), *((name, name) for name in weightings)],
            value="",
            label="Weighting",
            elem_id="weighting",
        )
        align = gr.Dropdown(
            [("as they are", ""), "auto", "translation", "similarity", "homography", "flow"],
            value="",
            label="Align",
        )
        noise = gr.Textbox(label="Take off noise", placeholder="auto, or 1:10 for source 1, of 255")
        match = gr.Dropdown(
            [("as they are", ""), "auto"], value="", label="Match brightness and colour"
        )
        radiance = gr.Dropdown(
            [("as they are", ""), "auto"], value="", label="Fuse exposures by their light"
        )
        observe = gr.Textbox(
            label="Restore, one source a line",
            placeholder="1:downsample\n2:mask=auto",
            lines=2,
        )
    return [task, weighting, align, noise, match, radiance, observe]


def _told(do: Callable[[], Any], paths: Sequence[str] = ()) -> Any:
    """Do it, and tell the person in a line what is wrong, of files by the names that they gave."""
    try:
        return do()
    except FusionkitError as error:
        raise gr.Error(_named(error, paths), title="fusionkit", print_exception=False) from None


def _named(said: object, paths: Sequence[str]) -> str:
    """Return a text in one line, with uploads called as the person knows them."""
    text = " ".join(str(said).split())
    for path in paths:
        text = text.replace(path, Path(path).name)
    return text
