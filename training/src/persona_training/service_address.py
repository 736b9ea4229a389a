"""How every part of training reaches the memory service: one address, one key, and no proxy in between."""

from __future__ import annotations

import httpx

from persona_training.errors import PersonaTrainingError


class AddressError(PersonaTrainingError):
    """The memory service's address or key is none."""


def connect(
    url: str, api_key: str | None, timeout: float | httpx.Timeout, transport: httpx.BaseTransport | None = None
) -> httpx.Client:
    """A client of the service at that address, to be closed after use; nothing is asked yet.

    The service runs on this machine or beside it, so the environment's proxies are passed by.

    Args:
        url: with http:// or https://.
        api_key: sent as a bearer token.
        timeout: in seconds.
        transport: stands in for the network.

    Raises:
        AddressError: the address or the key cannot be one.
    """
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise AddressError(f"{url!r} is no address of a service ({error}). Try http://127.0.0.1:8820.") from None
    if address.scheme not in ("http", "https") or not address.host:
        raise AddressError(f"{url!r} is no address of a service. Try http://127.0.0.1:8820.")
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise AddressError("The key of the memory service holds characters that no key has. Look at API_KEY.")
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return httpx.Client(base_url=url, headers=headers, timeout=timeout, transport=transport, trust_env=False)
