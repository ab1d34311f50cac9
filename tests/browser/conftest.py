"""A page in Chromium without a window: no network, and no error on the console."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import HOW_TO_INSTALL, LOCAL, launch


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser at a time in a process. It ends with the module: until then, asyncio of other tests would not run."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: dev)")
    with sync_api.sync_playwright() as playwright:
        found = launch(playwright)
        if found is None:
            pytest.skip(HOW_TO_INSTALL)
        yield found
        found.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """`open_page(file, scheme="dark", width=390)` is a page of playwright. The test fails where the page writes an
    error to the console, throws one, or asks for anything outside of its file.
    """
    faults: list[str] = []
    contexts = []

    def open_one(path: Path, *, scheme: str = "light", width: int = 1280) -> Any:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        contexts.append(context)

        def only_local(route: Any) -> None:
            if route.request.url.startswith(LOCAL):
                route.continue_()
            else:
                faults.append(f"asks for {route.request.url}")
                route.abort()

        context.route("**/*", only_local)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(path.resolve().as_uri())
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert faults == []
