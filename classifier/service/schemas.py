"""The shapes of answers and requests, for the OpenAPI document; answers are tested against them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from classifier.values import Level, MediaKind

Score = Annotated[float, Field(ge=0, le=1)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Model(_Shape):
    """Who made a score."""

    name: str = Field(examples=["open_nsfw"])
    version: str = Field(description="Changes whenever scores may.", examples=["3f1c0a9be2d4"])
    weights_sha256: str
    preprocessing: str = Field(examples=["open_nsfw-v1"])
    engine: str = Field(examples=["onnxruntime-int8"])


class Position(_Shape):
    """Where a frame stands."""

    at_s: float | None = Field(description="Seconds from the start of a film or animation.")
    page: int | None = Field(description="Page of a document, from 1.")


class FrameScore(Position):
    """The score of one frame."""

    score: Score


class Media(_Shape):
    """What was scored."""

    kind: MediaKind
    frames_scored: Annotated[int, Field(ge=1)]
    duration_s: float | None
    complete: bool = Field(
        description="False where it was not looked at to its end: after a hit, or damaged."
    )
    largest_gap_s: float | None = Field(description="Longest time between two looks, where all were made.")
    sha256: str | None = Field(description="Of the bytes that were scored.")


class ScoreAnswer(_Shape):
    """The score of one file."""

    score: Score = Field(description="The highest of its frames.")
    label: Literal["nsfw", "sfw"]
    threshold: Score = Field(description="From here on the label is `nsfw`.")
    level: Level
    highest: Position = Field(description="The frame that gave the score.")
    media: Media
    model: Model
    frames: list[FrameScore] | None = Field(default=None, description="Only where `frames` was asked for.")
    source: dict[str, str | int | float | None] | None = Field(
        default=None, description="Of what was fetched: what is known of it."
    )
    timing: dict[str, float | bool] | None = Field(
        default=None, description="Only where `timing` was asked for; seconds, and whether it was remembered."
    )


class ProblemDetails(BaseModel):
    """RFC 9457. `code` is stable; `detail` is for people."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["/problems/undecodable"])
    title: str
    status: int
    code: str = Field(examples=["undecodable"])
    detail: str
    instance: str | None = Field(default=None, description="Names the request in the log.")


class BatchItem(BaseModel):
    """One file of a batch: either a score, or a problem."""

    model_config = ConfigDict(extra="forbid")

    index: Annotated[int, Field(ge=0)]
    name: str | None = Field(default=None, description="What the caller calls it.")
    result: ScoreAnswer | None = None
    problem: ProblemDetails | None = None


class BatchAnswer(_Shape):
    """The files of a batch, in their order."""

    scored: int
    failed: int
    items: list[BatchItem]


class TitleRequest(BaseModel):
    """A file of the wiki."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"title": "File:Example.jpg"}]})

    title: Annotated[str, Field(min_length=1, max_length=1000)]


class UrlRequest(BaseModel):
    """A file at an address on an allowed host."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"url": "https://upload.wikimedia.org/wikipedia/commons/a/a9/Example.jpg"}]
        },
    )

    url: Annotated[str, Field(min_length=1, max_length=8000)]


class NamedFile(BaseModel):
    """Either of both."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    url: Annotated[str, Field(min_length=1, max_length=8000)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "NamedFile":
        if (self.title is None) == (self.url is None):
            raise ValueError("name the file by either `title` or `url`")
        return self


class BatchRequest(BaseModel):
    """Files of the wiki, or at addresses."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[TitleRequest | UrlRequest], Field(min_length=1)]


class NamedFiles(BaseModel):
    """The same, as it is read."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[NamedFile], Field(min_length=1)]


class Instance(BaseModel):
    """One picture of a KServe request; other keys are tolerated."""

    model_config = ConfigDict(extra="allow")

    image: str = Field(description="The file in base64.", json_schema_extra={"contentEncoding": "base64"})
    filename: str | None = Field(default=None, description="Repeated in the answer.")


class PredictRequest(BaseModel):
    """KServe's first protocol; other keys are tolerated."""

    model_config = ConfigDict(extra="allow")

    instances: Annotated[list[Instance], Field(min_length=1)]


class Prediction(BaseModel):
    """One picture's answer: a score, or a problem and no score."""

    model_config = ConfigDict(extra="forbid")

    filename: str | None = None
    target: Literal["nsfw"] = "nsfw"
    prediction: Score | None = Field(description="The score; null where there is a problem.")
    label: Literal["nsfw", "sfw"] | None = Field(description="Null where there is a problem.")
    result: ScoreAnswer | None = None
    problem: ProblemDetails | None = None


class PredictAnswer(_Shape):
    """The answers, in the order of the instances."""

    predictions: list[Prediction]


class ModelList(_Shape):
    """The models there are."""

    models: list[str]


class ModelStatus(_Shape):
    """One model."""

    name: str
    ready: bool
    model: Model
    thresholds: dict[str, Score]
    level: Level


class Tensor(BaseModel):
    """A tensor of the Open Inference Protocol, with its content as a list."""

    model_config = ConfigDict(extra="allow")

    name: str
    shape: list[Annotated[int, Field(ge=0)]]
    datatype: str
    data: list[Any]


class InferRequest(BaseModel):
    """Open Inference Protocol, version 2: one input of BYTES, each a file in base64."""

    model_config = ConfigDict(extra="allow")

    id: str | None = None
    inputs: Annotated[list[Tensor], Field(min_length=1, max_length=1)]


class InferAnswer(_Shape):
    """Scores and labels, in the order of the input."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, str | float]
    outputs: list[Tensor]


class ServerMetadata(_Shape):
    """Who answers."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(_Shape):
    """What a tensor looks like."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(_Shape):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class Live(_Shape):
    """The process answers."""

    live: Literal[True]


class Ready(BaseModel):
    """Whether it scores."""

    model_config = ConfigDict(extra="forbid")

    ready: Literal[True]
    name: str | None = None


class Health(_Shape):
    """The process answers."""

    ok: Literal[True]


__all__ = [
    "BatchAnswer",
    "BatchItem",
    "BatchRequest",
    "Health",
    "InferAnswer",
    "InferRequest",
    "Live",
    "ModelList",
    "ModelMetadata",
    "ModelStatus",
    "NamedFile",
    "NamedFiles",
    "PredictAnswer",
    "PredictRequest",
    "ProblemDetails",
    "Ready",
    "ScoreAnswer",
    "ServerMetadata",
    "TitleRequest",
    "UrlRequest",
]
