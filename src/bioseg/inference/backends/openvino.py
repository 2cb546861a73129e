"""OpenVINO as a backend, on the CPU, in float32."""

import os
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from bioseg.inference.backends import Batch, check_logits, failure


@dataclass(frozen=True, eq=False)
class OpenVinoBackend:
    """A compiled network. An inference request belongs to one thread at a time; a pool lends them.

    Attributes:
        compiled: ``images`` → ``logits``, ``features``.
    """

    compiled: Any
    _idle: "SimpleQueue[Any]" = field(default_factory=SimpleQueue, repr=False)

    def __call__(self, batch: Batch, /) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See :class:`bioseg.inference.backends.Backend`."""
        try:
            request = self._idle.get_nowait()
        except Empty:
            request = self.compiled.create_infer_request()
        try:
            found = request.infer({"images": np.ascontiguousarray(batch, np.float32)})  # copies of its outputs
            logits, features = found["logits"], found["features"]
        except Exception as fault:
            raise failure(batch, fault) from None
        self._idle.put(request)  # not after a fault: its state is unknown
        check_logits(batch, logits)
        return logits, features


def openvino_backend(network: bytes) -> OpenVinoBackend:
    """A backend of an ONNX network; whatever its parser raises on a foreign one is passed on."""
    core = openvino.Core()
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads := int(os.environ.get("OMP_NUM_THREADS") or 0):
        options["INFERENCE_NUM_THREADS"] = threads
    return OpenVinoBackend(core.compile_model(core.read_model(model=network), "CPU", options))
