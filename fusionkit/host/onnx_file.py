"""Networks from ONNX files, for plugins: run by onnxruntime on the CPU, on one thread."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ..errors import UsageError, one_line

INSTALL = "pip install 'fusionkit-imaging[detect]'"


def open_onnx(file: Path, called: str, *, whole: bool = False) -> Any:
    """Open a network of an ONNX file, which is data: a graph of known operators, and no code.

    Parameters
    ----------
    file
        Where it is.
    called
        What messages call it: the option and the path.
    whole
        Whether its weights must be in the file itself, so that its hash tells all of it.

    Returns
    -------
    onnxruntime.InferenceSession

    Raises
    ------
    UsageError
        onnxruntime is not installed, there is no such file, or it holds no network that can be
        run.
    """
    # Its wheels report to their maker, from 1.32 on, unless told not to before they are imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UsageError(f"networks in ONNX files need onnxruntime: {INSTALL}") from None
    if os.path.isdir(file):  # for file.is_dir() a name that is too long is an error of its own
        inside = sorted(file.glob("*.onnx"))
        such = f", such as {inside[0]}" if inside else ""
        raise UsageError(f"{called}: is a folder: give the ONNX file itself{such}")
    if not os.path.isfile(file):
        raise UsageError(f"{called}: there is no such file")
    how = onnxruntime.SessionOptions()
    how.intra_op_num_threads = how.inter_op_num_threads = 1
    how.log_severity_level = 4  # what fails is told once, by us
    with tempfile.TemporaryDirectory() as empty:
        if whole:  # other files are looked for where there are none
            how.add_session_config_entry(
                "session.model_external_initializers_file_folder_path", empty
            )
        try:
            return onnxruntime.InferenceSession(
                file.read_bytes() if whole else str(file), how, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # each kind of failure has a class of its own
            said = one_line(error)
            if whole and ("External data" in said or "model_path" in said):
                said = "its weights are in another file: export it with them inside, below 2 GB"
            raise UsageError(f"{called}: {said}") from None
