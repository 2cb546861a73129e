"""What a decoder process and the process that uses it send each other: a JSON object, then bytes whose number it tells."""

import json
from collections.abc import Callable
from typing import Any

MAX_BYTES = 1 << 20
_PREFIX = 4

Message = dict[str, Any]


def pack(message: Message) -> bytes:
    """A message as it travels: 4 bytes of length, then JSON."""
    body = json.dumps(message).encode()
    return len(body).to_bytes(_PREFIX, "big") + body


def unpack(fill: Callable[[memoryview], None]) -> Message:
    """The next message.

    Args:
        fill: Fills a buffer with the next bytes; raises EOFError if there are no more.

    Raises:
        EOFError: The other side is gone, or what it sent is no message.
    """
    prefix = bytearray(_PREFIX)
    fill(memoryview(prefix))
    length = int.from_bytes(prefix, "big")
    if length > MAX_BYTES:
        raise EOFError
    body = bytearray(length)
    fill(memoryview(body))
    message: Message = json.loads(body)
    return message
