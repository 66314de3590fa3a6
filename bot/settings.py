"""Settings: `config/default.toml`, then a chosen file, then the environment, in one frozen value.

Everything is read once, at start. An unknown key is an error that names the key, whether it stands in a
file or in the environment (`COMMONSBOT_STREAM__READ_TIMEOUT_S=30` overrides `[stream] read_timeout_s`).
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, IPvAnyNetwork, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from bot.errors import ConfigError
from bot.serving.settings import AccessSettings, ConsoleSettings, ServeSettings
from bot.settings_values import Bytes, Count, PositiveSeconds, Seconds, Section, Share

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_CONFIG = ROOT / "config" / "default.toml"
ENV_PREFIX = "COMMONSBOT_"
TEST_PREFIX = "COMMONSBOT_TEST_"
"""The test suite's own variables; no setting begins like this."""

_SectionT = TypeVar("_SectionT", bound=Section)


class WikiSettings(Section):
    """Which wiki is followed."""

    id: str
    domain: str
    api_url: str
    page_url: str = Field(description="Address of a page, with {title} for the percent-encoded title.")


class IdentitySettings(Section):
    """Who we say we are in the User-Agent header (Wikimedia's policy demands a contact)."""

    bot_name: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    contact: str = Field(
        pattern=r"^[\x20-\x7e]*$",  # it stands in an HTTP header
        description="A user page's address, an e-mail address, or both, divided by '; '.",
    )


class StreamSettings(Section):
    """How EventStreams is followed."""

    url: str
    connect_timeout_s: PositiveSeconds
    read_timeout_s: PositiveSeconds = Field(description="Silence after which the connection counts as dead.")
    backoff_initial_s: PositiveSeconds
    backoff_max_s: PositiveSeconds
    resume_overlap_s: Seconds = Field(description="How far a resume steps back; repeats are dropped.")
    position_interval_s: PositiveSeconds = Field(description="Save the position at least this often.")
    jump_s: PositiveSeconds = Field(description="A step forward in event time that counts as a gap.")


class BackfillSettings(Section):
    """How the upload log fills what the stream missed."""

    first_start_s: Seconds = Field(description="How far back the very first start looks.")
    max_s: PositiveSeconds = Field(description="How far back a gap is ever filled.")
    settle_s: Seconds = Field(description="The newest part of the log is left to the stream.")
    reconcile_every_s: PositiveSeconds
    reconcile_window_s: PositiveSeconds


class ApiSettings(Section):
    """How the action API is asked."""

    timeout_s: PositiveSeconds
    maxlag_s: Seconds
    max_attempts: Count
    batch_titles: Annotated[int, Field(gt=0, le=500)]


class MediaSettings(Section):
    """What is downloaded and how politely."""

    allowed_hosts: tuple[str, ...] = Field(min_length=1, description="host or host:port, exact.")
    private_networks: tuple[IPvAnyNetwork, ...] = Field(
        default=(), description="Not public, and allowed hosts may lie there all the same: 10.0.0.0/8."
    )
    thumbnail_width_px: Count
    thumbnail_max_bytes: Bytes
    original_max_bytes: Bytes
    animation_max_bytes: Bytes
    video_max_bytes: Bytes
    max_concurrent: Count
    max_bits_per_s: Annotated[float, Field(gt=0)]
    connect_timeout_s: PositiveSeconds
    read_timeout_s: PositiveSeconds
    total_timeout_s: PositiveSeconds
    max_redirects: Annotated[int, Field(ge=0)]
    retry_after_s: tuple[PositiveSeconds, ...] = Field(min_length=1)
    range_min_bytes: Bytes = Field(description="Original videos from this size on are read in ranges.")
    range_max_file_bytes: Annotated[int, Field(ge=0)] = Field(
        description="Larger ones are not read in ranges; 0 turns ranges off."
    )
    range_block_bytes: Annotated[int, Field(ge=4096)]
    range_ahead_bytes: Annotated[int, Field(ge=0)] = Field(
        description="The most that is fetched ahead of a decoder that reads on."
    )
    range_timeout_s: PositiveSeconds = Field(description="For all ranges of a file, waiting included.")
    directory: Path


class DecodeSettings(Section):
    """The limits of the decode workers."""

    workers: Count
    memory_bytes: Bytes
    cpu_s: PositiveSeconds
    wall_s: PositiveSeconds
    max_pixels: Count
    max_frames: Count
    jobs_per_worker: Count
    reduced_jpeg_px: Annotated[int, Field(ge=0)] = Field(
        description="0 decodes JPEGs in full; see `DecodeLimits.reduced_jpeg_px`."
    )
    video_mode: Literal["exact", "economical"]
    video_order: Literal["by_container", "sequential", "coarse_to_fine"]
    video_stop_early: bool
    video_interval_s: Annotated[float, Field(ge=0)] = Field(description="0: by the length of the video.")


class ClassifierSettings(Section):
    """Which model scores, and from which score a file is flagged."""

    model: str
    engine: Annotated[str, Field(pattern=r"^(auto|(torch|onnxruntime|openvino)-(fp32|int8))$")]
    memory_mb: Annotated[int, Field(ge=0)] = Field(
        description="What `auto` may choose needs no more than this; 0: what the machine allows."
    )
    level: Literal["cautious", "balanced", "sensitive"]
    cache_directory: Path | None = Field(default=None, description="None: the user's cache folder.")
    batch_size: Count
    threads: Annotated[int, Field(ge=0)] = Field(description="0: what the cores allow.")


class StoreSettings(Section):
    """Where everything is recorded."""

    url: str = Field(description="Any SQLAlchemy URL; relative SQLite paths start at the project root.")


class SamplingSettings(Section):
    """Which scored uploads people are asked about."""

    enabled: bool = Field(description="false: every flagged upload, and no others.")
    daily_budget: Annotated[int, Field(ge=2)] = Field(description="Never exceeded; a day is one of UTC.")
    audit_share: Share = Field(description="The least share of the budget for unflagged uploads.")
    edges: tuple[Share, ...] = Field(description="Scores that divide the strata.")
    first_day_uploads: Count = Field(description="Expected of the first day; later ones are counted.")
    key_file: Path = Field(description="The secret that draws follow from; made where it is missing.")

    @model_validator(mode="after")
    def _edges_rise(self) -> "SamplingSettings":
        if sorted(set(self.edges)) != list(self.edges):
            raise ValueError("edges must rise")
        return self


class PipelineSettings(Section):
    """How much is on its way at once."""

    max_in_flight: Count
    claim_ttl_s: PositiveSeconds
    poll_interval_s: PositiveSeconds
    shutdown_s: PositiveSeconds
    lease_ttl_s: PositiveSeconds


class RetentionSettings(Section):
    """Which reduced pictures of flagged and sampled uploads are kept, and what is compared with them."""

    days: Annotated[float, Field(ge=0, le=3650)] = Field(description="0: nothing is ever kept.")
    directory: Path
    side_px: Annotated[int, Field(ge=64, le=2048)] = Field(description="The longer side at most.")
    jpeg_quality: Annotated[int, Field(ge=1, le=95)]
    near_duplicates: bool = Field(description="Hash every scored picture, and look for reviewed ones.")
    reuploads: bool = Field(description="Look for deleted files with the same bytes, if the wiki allows.")


class ReportSettings(Section):
    """The local report."""

    directory: Path
    interval_s: PositiveSeconds
    max_items: Count


class ReviewSettings(Section):
    """The report on-wiki and the reading of verdicts."""

    enabled: bool = Field(description="Read and write report pages at all.")
    dry_run: bool = Field(description="Show what would be written instead of writing it.")
    family: str = Field(description="pywikibot's family.")
    code: str = Field(description="pywikibot's code within the family.")
    user: str = Field(description="The bot's account; pages live below User:<user>/Review.")
    require_bot: bool = Field(description="Refuse to edit with an account that lacks the bot flag.")
    language: str
    rows_per_page: Annotated[int, Field(gt=0, le=100)]
    edit_interval_s: Seconds = Field(description="At most one edit per page and so many seconds.")
    poll_interval_s: PositiveSeconds = Field(description="Look for new verdicts at least this often.")
    control_interval_s: PositiveSeconds = Field(description="Read stop page and on-wiki settings so often.")
    trusted_groups: tuple[str, ...] = Field(min_length=1)
    archive_after_s: PositiveSeconds = Field(description="Finished pages are archived after so long.")


class MonitoringSettings(Section):
    """`/metrics` and `/healthz`, on loopback."""

    enabled: bool
    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    unhealthy_after_s: PositiveSeconds = Field(description="Stream silence that makes /healthz fail.")


class LogSettings(Section):
    """How the log is written."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    format: Literal["auto", "text", "json"]


class Settings(BaseSettings):
    """Everything that can be set; see `config/default.toml` for values and remarks."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__", case_sensitive=False
    )

    wiki: WikiSettings
    identity: IdentitySettings
    stream: StreamSettings
    backfill: BackfillSettings
    api: ApiSettings
    media: MediaSettings
    decode: DecodeSettings
    classifier: ClassifierSettings
    store: StoreSettings
    pipeline: PipelineSettings
    sampling: SamplingSettings
    retention: RetentionSettings
    report: ReportSettings
    review: ReviewSettings
    monitoring: MonitoringSettings
    serve: ServeSettings
    access: AccessSettings
    console: ConsoleSettings
    log: LogSettings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library passes all of them
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the files, which arrive as init values; nothing else is read."""
        return (env_settings, init_settings)

    @model_validator(mode="after")
    def _intervals_fit(self) -> "Settings":
        if self.stream.backoff_max_s < self.stream.backoff_initial_s:
            raise ValueError("stream.backoff_max_s is smaller than stream.backoff_initial_s")
        if self.pipeline.claim_ttl_s <= self.decode.wall_s:
            raise ValueError("pipeline.claim_ttl_s must be longer than decode.wall_s")
        return self

    @property
    def user_agent(self) -> str:
        """The User-Agent header, in the form Wikimedia's policy asks for.

        Raises:
            ConfigError: Where no contact is set.
        """
        if not self.identity.contact.strip():
            raise ConfigError(
                "identity.contact is empty: Wikimedia refuses clients without a contact. Set it in your "
                f"configuration file, or {ENV_PREFIX}IDENTITY__CONTACT='you@example.org', or use "
                "`make run CONTACT=you@example.org`"
            )
        import requests

        from bot import __version__

        identity = self.identity
        return f"{identity.bot_name}/{__version__} ({identity.contact}) requests/{requests.__version__}"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one nested mapping over another.

    Args:
        below: Loses where both have a value.
        above: Wins.

    Returns:
        A new mapping; tables are merged key by key.
    """
    result = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def _reject_unknown_environment() -> None:
    """pydantic-settings ignores unknown top-level variables with our prefix; a typo there must not pass."""
    for name in os.environ:
        if name.upper().startswith(ENV_PREFIX) and not name.upper().startswith(TEST_PREFIX):
            section = name[len(ENV_PREFIX) :].lower().split("__")[0]
            if section not in Settings.model_fields:
                raise ConfigError(f"{name}: unknown key: there is no section [{section}]")


def load_settings(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read, merge and validate the configuration.

    Args:
        config: A TOML file laid over `config/default.toml`, or None.
        overrides: Nested values laid over the files (the environment still wins).

    Returns:
        The frozen settings; relative paths are made absolute from the project root.

    Raises:
        ConfigError: Names the file and key, and what is wrong with it.
    """
    _reject_unknown_environment()
    values = _read_toml(DEFAULT_CONFIG)
    if config is not None:
        values = merged(values, _read_toml(config))
    values = merged(values, overrides or {})
    try:
        settings = Settings(**values)
    except ValidationError as error:
        where = f"{config or DEFAULT_CONFIG} or the environment"
        raise ConfigError(_explain(error, where)) from error
    except SettingsError as error:
        raise ConfigError(
            f"in the environment: {error}. Lists are written as JSON: "
            f"""{ENV_PREFIX}MEDIA__ALLOWED_HOSTS='["upload.wikimedia.org"]'"""
        ) from error
    return settings.model_copy(
        update={
            "media": _absolute(settings.media, "directory"),
            "retention": _absolute(settings.retention, "directory"),
            "report": _absolute(settings.report, "directory"),
            "serve": _absolute(settings.serve, "directory"),
            "sampling": _absolute(settings.sampling, "key_file"),
            "console": _absolute(settings.console, "key_file"),
            "classifier": _absolute(settings.classifier, "cache_directory"),
        }
    )


def _absolute(section: _SectionT, name: str) -> _SectionT:
    value = getattr(section, name)
    return section if value is None else section.model_copy(update={name: ROOT / value})


def _explain(error: ValidationError, where: str) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "settings"
        reason = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"]
        lines.append(f"{key}: {reason}")
    return f"in {where}: " + "; ".join(lines)


__all__ = ["DEFAULT_CONFIG", "ENV_PREFIX", "ROOT", "Settings", "load_settings", "merged"]
