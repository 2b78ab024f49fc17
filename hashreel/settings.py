"""Every setting of a running Hashreel, read once at the start of a process and passed down.

Each field is also an environment variable, ``HASHREEL_`` plus the name in capitals; lists and dictionaries
are JSON there. The supervisor hands settings to its children the same way, so one process tree has one truth.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["ENV_PREFIX", "Settings"]

ENV_PREFIX = "HASHREEL_"
MIB = 2**20


class Settings(BaseSettings):
    """Settings of the service, the workers and the supervisor."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="ignore", validate_default=True)

    data: Annotated[Path, Field(description="Folder of the embedded stack: Redis files, uploads, caches.")] = Path(
        "hashreel-data"
    )
    redis_url: Annotated[
        str | None,
        Field(description="Redis of the data, e.g. redis://host:6379/0. Empty: an embedded server."),
    ] = None
    broker_url: Annotated[
        str | None, Field(description="Redis of the queues; another database or server than redis_url.")
    ] = None
    host: Annotated[str, Field(description="Address that the search service binds to.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port of the search service; 0 picks a free one.")] = 8000
    roots: Annotated[
        dict[str, Path],
        Field(description='Source roots by name, JSON: {"archive": "/srv/archive"}. Only files inside are read.'),
    ] = {}
    source_hosts: Annotated[
        list[str],
        Field(
            description="What may be indexed by URL (JSON list). For http and https: hosts, `*.name`, `*` for every "
            "public host, each with :PORT or without; addresses and networks such as 10.1.0.0/16, which also are the "
            "only private ones that names may resolve to. For others: how the address begins, such as s3://bucket/. "
            "Empty: none."
        ),
    ] = []
    source_timeout_s: Annotated[
        float, Field(gt=0, le=86400, description="Longest time to fetch a source by URL; the next try goes on there.")
    ] = 1800.0
    max_source_bytes: Annotated[int, Field(ge=1024, description="Largest source that is fetched by URL.")] = 32768 * MIB
    source_cache_bytes: Annotated[
        int, Field(ge=1024, description="Bound of the folder of local copies of sources that were fetched.")
    ] = 65536 * MIB
    open_roots: Annotated[
        bool, Field(description="Accept any path that the worker's user can read (embedded stack only).")
    ] = False
    collection: Annotated[str, Field(description="Collection that is used when none is named.")] = "main"
    model: Annotated[
        str | None,
        Field(description="Model name or folder. Empty: the collection's own; for a new collection, `default`."),
    ] = None
    index: Annotated[
        Literal["auto", "flat", "exact", "ivf", "hnsw", "gpu", "milvus"],
        Field(description="Kind of the index: in memory, or in a Milvus server."),
    ] = "auto"
    milvus_uri: Annotated[
        str, Field(min_length=1, description="Milvus of the index kind `milvus`, e.g. http://host:19530.")
    ] = "http://127.0.0.1:19530"
    milvus_token: Annotated[str, Field(repr=False, description="Its user:password or API key; empty for none.")] = ""
    milvus_prefix: Annotated[
        str,
        Field(
            max_length=100,
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
            description="How the names of its collections begin; one for each installation that shares it.",
        ),
    ] = "hashreel"
    milvus_lease_s: Annotated[
        float,
        Field(ge=3, le=600, description="Another search service writes into Milvus when the one that did is silent."),
    ] = 15.0
    device: Annotated[str, Field(description="auto, cpu, cuda.")] = "auto"
    threads: Annotated[int, Field(ge=0, le=256, description="Threads of the network; 0 shares the cores out.")] = 0
    decoders: Annotated[
        int, Field(ge=0, le=256, description="Chunks that a worker process decodes at once; 0 shares the cores out.")
    ] = 0
    hardware_decoding: Annotated[
        Literal["off", "cuda", "qsv", "vaapi", "videotoolbox"],
        Field(
            description="Device on which workers decode videos: cuda is NVDEC. Where there is none, or a video is not "
            "for it or damaged, the processor decodes; the codes are the same."
        ),
    ] = "off"
    decode_bytes: Annotated[
        int,
        Field(
            ge=1024,
            description="Memory that the decoders of a worker process may take together; a video of larger frames is "
            "decoded by itself.",
        ),
    ] = 2048 * MIB
    chunk_s: Annotated[
        float, Field(ge=10, le=7200, description="Length of a chunk, the unit of work, in seconds of video.")
    ] = 600.0
    every_s: Annotated[float, Field(ge=0.04, le=3600, description="Default sampling step in seconds.")] = 1.0
    max_tries: Annotated[int, Field(ge=1, le=100, description="Starts of one chunk before it counts as failed.")] = 3
    unit_timeout_s: Annotated[
        float, Field(ge=10, le=86400, description="Longest run of one chunk before its worker is replaced.")
    ] = 3600.0
    worker_lease_s: Annotated[
        float, Field(ge=2, le=600, description="A worker that is silent for longer counts as dead.")
    ] = 15.0
    reconcile_s: Annotated[float, Field(ge=0.2, le=600, description="Pause between two checks for lost work.")] = 5.0
    consistency_wait_ms: Annotated[
        int, Field(ge=0, le=60_000, description="Longest wait of a search for the log's tail.")
    ] = 200
    snapshot_s: Annotated[
        float, Field(ge=0, description="Pause between two snapshots of the gallery, if it changed; 0: none.")
    ] = 300.0
    delete_grace_s: Annotated[
        float, Field(ge=0, description="Time between a delete and the removal of its stored values.")
    ] = 3600.0
    log_max_entries: Annotated[int, Field(ge=1000, description="The log is trimmed to about this many entries.")] = (
        1_000_000
    )
    log_keep_s: Annotated[
        float, Field(ge=0, description="Log entries older than this are dropped, all but the last; 0: never.")
    ] = 30 * 86400.0
    job_keep_s: Annotated[float, Field(ge=60, description="Finished job records are dropped after this time.")] = (
        30 * 86400.0
    )
    max_body_bytes: Annotated[int, Field(ge=1024, description="Largest body of a search request.")] = 32 * MIB
    max_upload_bytes: Annotated[int, Field(ge=1024, description="Largest uploaded video.")] = 4096 * MIB
    uploads_bytes: Annotated[int, Field(ge=1024, description="Bound of the uploads folder.")] = 65536 * MIB
    max_clip_bytes: Annotated[int, Field(ge=1024, description="Largest clip that is searched for.")] = 512 * MIB
    max_clip_s: Annotated[float, Field(ge=1, le=7200, description="Longest clip that is searched for, in seconds.")] = (
        600.0
    )
    max_picture_pixels: Annotated[int, Field(ge=1024, description="Largest query picture, width times height.")] = (
        64_000_000
    )
    picture_hosts: Annotated[
        list[str],
        Field(
            description="Hosts of which query pictures may be read by URL (JSON list): names, `*.name`, `*` for every "
            "public host, each with :PORT or without; addresses and networks such as 10.1.0.0/16, which also are the "
            "only private ones that names may resolve to. Empty: none."
        ),
    ] = []
    picture_url_s: Annotated[
        float, Field(gt=0, le=120, description="Longest time to read a query picture by URL, in seconds.")
    ] = 10.0
    max_batch: Annotated[int, Field(ge=1, le=256, description="Largest number of queries in one batch.")] = 256
    max_top: Annotated[
        int, Field(ge=1, le=1_000_000, description="Largest number of hits in an answer, and of frames in a look-up.")
    ] = 10_000
    max_top_ids: Annotated[
        int, Field(ge=1, le=1_000_000, description="Largest number of hits in an answer of ids and distances alone.")
    ] = 100_000
    thumbnail_cache_bytes: Annotated[int, Field(ge=0, description="Bound of the thumbnail cache.")] = 512 * MIB
    thumbnail_store: Annotated[
        Path | None,
        Field(
            description="Folder where workers keep 160-pixel thumbnails of all frames, for sources that vanish; shared "
            "by all workers and services. Empty: none are kept."
        ),
    ] = None
    thumbnail_store_bytes: Annotated[
        int, Field(ge=0, description="Bound of kept thumbnails; beyond it no more are kept. A frame takes about 6 KiB.")
    ] = 10240 * MIB
    allowed_hosts: Annotated[
        list[str], Field(description="Host headers that are accepted beside loopback names (JSON list).")
    ] = []
    keys: Annotated[
        Literal["auto", "required"],
        Field(
            description="Whether requests need an API key. auto: once one was made, and always on an address that is "
            "not loopback (but see allow_open)."
        ),
    ] = "auto"
    rate_per_s: Annotated[
        float,
        Field(ge=0, le=1_000_000, description="Requests a second that one key may send, by each service; 0: no limit."),
    ] = 0.0
    rate_burst: Annotated[
        int, Field(ge=1, le=1_000_000, description="Requests that a key may send at once after a pause.")
    ] = 100
    session_s: Annotated[
        int, Field(ge=60, le=30 * 86400, description="How long the page stays signed in, in seconds.")
    ] = 12 * 3600
    audit: Annotated[
        Literal["on", "strict", "off"],
        Field(
            description="Record who searched, viewed, exported, changed and deleted. on: answers go on while Redis is "
            "down, entries wait in memory. strict: no answer without its entry."
        ),
    ] = "on"
    audit_entries: Annotated[
        int, Field(ge=1000, description="The audit log is trimmed to about this many entries, the newest.")
    ] = 200_000
    allow_open: Annotated[
        bool, Field(description="Serve without keys on an address that is not loopback (behind an own proxy).")
    ] = False
    instance: Annotated[
        str, Field(max_length=100, pattern=r"^[A-Za-z0-9-]*$", description="Set by the supervisor: sent with answers.")
    ] = ""
    local_key: Annotated[
        str, Field(max_length=200, repr=False, description="Set by the supervisor: the key of local clients.")
    ] = ""
    webhook_hosts: Annotated[
        list[str],
        Field(
            description="Hosts that webhooks of watch-lists may be sent to, in the form of picture_hosts. Empty: none."
        ),
    ] = []
    webhook_timeout_s: Annotated[
        float, Field(ge=0.1, le=120, description="Longest wait for a webhook's receiver, in seconds.")
    ] = 10.0
    webhook_retry_s: Annotated[
        float,
        Field(ge=0.01, le=3600, description="Pause before a webhook is tried again; doubled each time, up to an hour."),
    ] = 5.0
    webhook_tries: Annotated[
        int, Field(ge=1, le=100, description="Tries of one webhook message before it is given up and listed as dead.")
    ] = 14
    metrics_host: Annotated[str, Field(description="Address of the metrics of `hashreel worker`.")] = "127.0.0.1"
    metrics_port: Annotated[
        int, Field(ge=0, le=65535, description="Port of the metrics of `hashreel worker`; 0: none.")
    ] = 0
    traces: Annotated[
        Literal["off", "otlp", "console"],
        Field(description="OpenTelemetry spans: sent to where `OTEL_EXPORTER_OTLP_ENDPOINT` says, or into the log."),
    ] = "off"
    log_format: Annotated[Literal["text", "json"], Field(description="Lines of log for people, or JSON.")] = "text"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="Least level logged.")] = (
        "info"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.redis_url and self.broker_url and self.redis_url == self.broker_url:
            raise ValueError("broker_url equals redis_url; queues need another database, e.g. .../1")
        return self

    def environment(self) -> dict[str, str]:
        """Return all settings as environment variables for a child, defaults too.

        A child inherits the variables of its parent; only what is named here is sure to be what was decided.
        """
        values = self.model_dump(mode="json", exclude_none=True)
        return {
            ENV_PREFIX + name.upper(): value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
        }
