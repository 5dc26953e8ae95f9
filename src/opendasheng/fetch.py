"""From an http(s) URL to the bytes behind it, within limits on size, time and redirects. No torch.

Kept apart from ``audio`` because httpx costs more to import than everything else there: ``audio`` imports
this module when it meets a URL.
"""

import time

import httpx

from opendasheng.environment import is_offline
from opendasheng.errors import AudioError

MAX_BYTES = 512 * 2**20
MAX_REDIRECTS = 5
TIMEOUT_SECONDS = 20.0  # of silence from the server
DEADLINE_SECONDS = 600.0  # for the whole download


def download(url: str, name: str) -> bytes:
    """The body behind ``url``; ``name`` is what errors call it.

    Nothing is fetched where OPENDASHENG_OFFLINE or HF_HUB_OFFLINE is set to a true value.
    Raises AudioError, in one line, for whatever keeps the body from arriving whole.
    """
    if is_offline():
        raise AudioError(
            f"{name}: it is a URL and this run is offline (OPENDASHENG_OFFLINE or HF_HUB_OFFLINE is set); "
            "unset that, or pass a local file"
        )
    try:
        return _body(url, name)
    except httpx.HTTPStatusError as error:
        status = f"{error.response.status_code} {error.response.reason_phrase}".strip()
        raise AudioError(f"{name}: the server answers {status}; check the address") from error
    except httpx.TimeoutException as error:
        raise AudioError(
            f"{name}: the server is silent for {TIMEOUT_SECONDS:g} s; try again, or download it yourself"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError) as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise AudioError(f"{name}: it cannot be fetched ({words}); check the address and the connection") from error


def _body(url: str, name: str) -> bytes:
    data = bytearray()
    deadline = time.monotonic() + DEADLINE_SECONDS
    with (
        httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=True, max_redirects=MAX_REDIRECTS) as client,
        client.stream("GET", url) as response,
    ):
        response.raise_for_status()
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > MAX_BYTES:
                raise AudioError(
                    f"{name}: it is larger than the limit of {MAX_BYTES} bytes; download it yourself and pass the file"
                )
            if time.monotonic() > deadline:
                raise AudioError(
                    f"{name}: the download takes longer than {DEADLINE_SECONDS:g} s; "
                    "download it yourself and pass the file"
                )
    return bytes(data)
