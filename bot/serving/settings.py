"""The sections of the settings that only `python -m bot serve` reads."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from bot.settings_values import Bytes, Count, PositiveSeconds, Seconds, Section


class ServeSettings(Section):
    """The prediction API: where it listens, and how much requests may use."""

    host: str
    port: Annotated[int, Field(ge=0, le=65535)] = Field(description="0 takes a free one.")
    workers: Count = Field(description="Processes that share the port and nothing else.")
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        description="Worker N also answers /metrics on this port + N, on loopback; 0: it does not."
    )
    directory: Path
    file_bytes: Bytes
    batch_items: Count
    batch_bytes: Bytes
    instances: Count
    instance_bytes: Bytes
    running: Count = Field(description="Files that are fetched, decoded or scored at once.")
    waiting: Annotated[int, Field(ge=0)] = Field(description="Files that may wait; beyond it, 503.")
    spool_bytes: Bytes = Field(description="All bodies together on the disk.")
    memory_bytes: Bytes = Field(description="A process and its decode workers, resident; beyond it, 503.")
    uploads: Count = Field(description="Bodies that are received at once; beyond it, 503.")
    lanes: Count = Field(description="Files of one batch that are worked on at once.")
    retry_after_s: PositiveSeconds
    request_s: PositiveSeconds = Field(description="The time of a request; callers may ask for less.")
    body_idle_s: PositiveSeconds
    body_s: PositiveSeconds
    cache_entries: Annotated[int, Field(ge=0)]
    drain_notice_s: Seconds = Field(description="Not ready, but still taking requests, before the end.")
    drain_s: PositiveSeconds = Field(description="How long running requests may then go on.")


class AccessSettings(Section):
    """Whom the prediction API lets in; the console always asks for a token."""

    anonymous: bool = Field(description="Score files for those without a token.")
    anonymous_per_minute: Count = Field(description="Files a minute, of all of them together.")
    anonymous_beyond_loopback: bool = Field(description="Allow that on other addresses than loopback.")
    per_minute: Annotated[int, Field(ge=0)] = Field(description="Of tokens that name none; 0: no limit.")
    per_day: Annotated[int, Field(ge=0)] = Field(description="Of tokens that name none; 0: no limit.")


class ConsoleSettings(Section):
    """The operator's console."""

    key_file: Path = Field(description="The secret that signs its sessions; made where it is missing.")


__all__ = ["AccessSettings", "ConsoleSettings", "ServeSettings"]
