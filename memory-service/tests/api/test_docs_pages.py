"""/docs and /redoc work on a machine without internet."""

import re

import httpx
import pytest


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_a_docs_page_brings_its_own_scripts(page: str, client: httpx.AsyncClient) -> None:
    html = (await client.get(page)).raise_for_status().text
    assets = re.findall(r"""<(?:script|link)[^>]+(?:src|href)="([^"]+)""", html)
    assert assets
    for asset in assets:
        assert asset.startswith("/"), f"{asset} is fetched from elsewhere"
        assert (await client.get(asset)).is_success
