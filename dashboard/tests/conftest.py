"""Dashboards in each of their states, and the browser that looks at them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parent))

from example_memory import Store
from house import House, Watched, settings
from persona_dashboard import create_app
from persona_dashboard.settings import Settings
from seam_files import write_everything
from service_stand_in import stand_in_service

CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_the_operator() -> Iterator[None]:
    """Whatever service or folder this machine has set up, the tests bring their own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(name.upper(), raising=False)
        yield


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[House]:
    """Freshly installed: the service runs and knows nothing, the folders do not exist."""
    with stand_in_service(Store()) as service:
        exports, adapters = tmp_path / "exports", tmp_path / "lora_adapters"
        yield House(create_app(settings(exports, adapters, service.url)), exports, adapters, service)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[House]:
    """In use: interactions, datasets, adapters, reports, one run in progress."""
    exports, adapters = tmp_path / "exports", tmp_path / "lora_adapters"
    manifests, trained = write_everything(exports, adapters)
    with stand_in_service(Store.full(manifests, trained)) as service:
        yield House(create_app(settings(exports, adapters, service.url)), exports, adapters, service)


@pytest.fixture
def down(tmp_path: Path) -> House:
    """The files are there, the service is not."""
    exports, adapters = tmp_path / "exports", tmp_path / "lora_adapters"
    write_everything(exports, adapters)
    return House(create_app(settings(exports, adapters)), exports, adapters)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One headless Chromium for a file of tests; its absence is a failure that says how to install it.

    No wider scope: while Playwright runs, this thread has a running event loop, and asyncio tests elsewhere need their own.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not path:
        pytest.fail("Chromium is missing; install it: apt-get install --no-install-recommends chromium", pytrace=False)
    expect.set_options(timeout=60_000)  # a busy machine is no failure
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    """A fresh page whose console must stay clean."""
    context = chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
    page, complaints = context.new_page(), []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_default_timeout(60_000)
    yield Watched(page, complaints)
    context.close()
