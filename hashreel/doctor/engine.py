"""Checks of the engine: GPUs, the FAISS build, the model. The thorough ones load torch and FAISS."""

from __future__ import annotations

from collections.abc import Iterator

from hashreel.doctor.findings import Finding, error, ok, warning
from hashreel.errors import HashreelError
from hashreel.settings import Settings

__all__ = ["check_engine", "check_model_files"]

GPU_FAISS = "pip uninstall faiss-cpu, then pip install 'hashreel[gpu]'; or set HASHREEL_INDEX=auto"
CUDA_TORCH = "install the CUDA build of torch and torchvision, or set HASHREEL_DEVICE=cpu"


def check_model_files(settings: Settings) -> Finding:
    """Return whether the model that the settings name is there and readable; its weights are not looked at."""
    from encoder.model_files import read_manifest, resolve_model

    try:
        manifest = read_manifest(resolve_model(settings.model or "default"))
    except HashreelError as exc:
        return error("model", str(exc), "copy the model's folder anew, or correct HASHREEL_MODEL")
    return ok("model", f"{manifest.name}, {manifest.bits} bits, fingerprint {manifest.fingerprint[:12]}")


def check_engine(settings: Settings) -> Iterator[Finding]:
    """Yield findings about GPUs, FAISS and the model, whose weights are checked against its fingerprint."""
    yield _gpu(settings)
    yield _faiss(settings)
    if settings.index == "milvus":
        yield _milvus(settings)
    yield _model(settings)


def _gpu(settings: Settings) -> Finding:
    from workers.devices import visible_gpus

    listed = visible_gpus()
    try:
        import torch
    except (ImportError, OSError) as exc:
        return error("gpu", f"torch cannot be loaded: {exc}", "pip install 'hashreel[cpu]' (or [gpu])")
    usable = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if usable:
        names = ", ".join(sorted({torch.cuda.get_device_name(number) for number in range(usable)}))
        return ok("gpu", f"{usable} usable ({names}), torch {torch.__version__}")
    if settings.device == "cuda":
        return error("gpu", f"HASHREEL_DEVICE=cuda, but torch {torch.__version__} finds no GPU", CUDA_TORCH)
    if listed:
        return warning("gpu", f"{len(listed)} listed, but torch {torch.__version__} can use none", CUDA_TORCH)
    return ok("gpu", f"none; the network runs on the CPU (torch {torch.__version__})")


def _faiss(settings: Settings) -> Finding:
    try:
        from indexer.faiss_tools import faiss
    except (HashreelError, OSError) as exc:
        return error("faiss", str(exc), "pip install 'hashreel[cpu]' (or [gpu])")
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    options = faiss.get_compile_options().strip() if hasattr(faiss, "get_compile_options") else ""
    said = f"{faiss.__version__}, {options or 'generic'}, {gpus} GPUs"
    if settings.index == "gpu" and gpus == 0:
        return error("faiss", f"HASHREEL_INDEX=gpu, but FAISS has {gpus} GPUs ({said})", GPU_FAISS)
    return ok("faiss", said)


def _milvus(settings: Settings) -> Finding:
    from indexer.milvus.collection import Connection

    try:
        connection = Connection(settings.milvus_uri, settings.milvus_token, timeout_s=10.0)
        number = len(connection.collections(f"{settings.milvus_prefix}_"))
        connection.close()
    except HashreelError as exc:
        return error("milvus", str(exc), "install hashreel[milvus]; set HASHREEL_MILVUS_URI to a server that runs")
    return ok("milvus", f"{settings.milvus_uri.rpartition('@')[2]} answers; {number} collections of this installation")


def _model(settings: Settings) -> Finding:
    found = check_model_files(settings)
    if found.is_problem:
        return found
    try:
        from encoder.model import load_model

        load_model(settings.model or "default", device="cpu")
    except (HashreelError, ImportError, OSError) as exc:
        return error("model", str(exc), "copy the model's folder anew, or name another one with HASHREEL_MODEL")
    return ok("model", f"{found.said} holds")
