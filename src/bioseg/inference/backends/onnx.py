"""ONNX Runtime as a backend, on the CPU, in float32."""

import os
from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bioseg.inference.backends import Batch, check_logits, failure


@dataclass(frozen=True, eq=False)
class OnnxBackend:
    """A network in a session of ONNX Runtime, which threads may share.

    Attributes:
        session: ``images`` → ``logits``, ``features``.
    """

    session: onnxruntime.InferenceSession

    def __call__(self, batch: Batch, /) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See :class:`bioseg.inference.backends.Backend`."""
        try:
            logits, features = self.session.run(
                ["logits", "features"], {"images": np.ascontiguousarray(batch, np.float32)}
            )
        except Exception as fault:  # its exceptions share no other class
            raise failure(batch, fault) from None
        check_logits(batch, logits)
        return logits, features


def onnx_backend(network: bytes) -> OnnxBackend:
    """A backend of an ONNX network; whatever its parser raises on a foreign one is passed on."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised; standard error is ours
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)  # 0: one per core
    if os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive":  # as the commands ask of all threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return OnnxBackend(onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"]))
