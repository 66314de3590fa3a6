"""What is written down beside an exported graph: what it is, what made it, how far its scores drift.

The card is not part of it: thresholds and failure modes belong to the catalogue, and only the hashes say
whether this graph is of that model. Everything read is validated, as it may come from another machine.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from classifier.engines.values import DriftReport, ExportedGraph, GraphFormat, Precision
from classifier.errors import ModelError
from classifier.values import ModelCard

FILENAME = "manifest.json"
VERSION = 1
_SHA256 = r"^[0-9a-f]{64}$"


class Manifest(BaseModel):
    """The content of a manifest.

    Attributes:
        manifest: Version of this form.
        model: Catalogue name.
        weights_sha256: Of the model's safetensors file.
        preprocessing: Id of what the verification pictures went through.
        format: Of the graph.
        precision: Of the graph.
        graph_sha256: Of the graph's file.
        made_with: Library versions that took part in making it.
        made_at_s: When, in seconds since 1970; where several graphs would do, the latest is taken.
        fp32_layers: Layers left in fp32.
        drift: Measured where it was made.
        verification_sha256: Of the npz file with the verification set, None where there is none.
        verification_drift: Measured on that set where the graph was made.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    manifest: int = Field(ge=VERSION, le=VERSION)
    model: str
    weights_sha256: str = Field(pattern=_SHA256)
    preprocessing: str
    format: GraphFormat
    precision: Precision
    graph_sha256: str = Field(pattern=_SHA256)
    made_with: Mapping[str, str]
    made_at_s: float = Field(ge=0, allow_inf_nan=False)
    fp32_layers: tuple[str, ...]
    drift: DriftReport | None
    verification_sha256: str | None = Field(pattern=_SHA256)
    verification_drift: DriftReport | None = None

    @classmethod
    def of(cls, graph: ExportedGraph, verification_sha256: str | None, made_at_s: float) -> "Manifest":
        """Describe a graph.

        Args:
            graph: The graph.
            verification_sha256: Of its verification set's file.
            made_at_s: When it was made, in seconds since 1970.
        """
        return cls(
            manifest=VERSION,
            model=graph.card.name,
            weights_sha256=graph.card.weights_sha256,
            preprocessing=graph.card.preprocessing,
            format=graph.format,
            precision=graph.precision,
            graph_sha256=graph.sha256,
            made_with=dict(graph.made_with),
            made_at_s=made_at_s,
            fp32_layers=graph.fp32_layers,
            drift=graph.drift,
            verification_sha256=verification_sha256,
            verification_drift=graph.verification_drift,
        )

    @classmethod
    def read(cls, content: bytes) -> "Manifest":
        """Read a manifest's file.

        Raises:
            ModelError: Where it is not one.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or FILENAME
            raise ModelError(
                f"not a manifest of this version of the project: {place}: {first['msg']}"
            ) from None

    def content(self) -> bytes:
        """The file's content, with sorted keys, so that equal manifests are equal bytes."""
        return self.model_dump_json(indent=1).encode() + b"\n"

    def check_model(self, card: ModelCard) -> None:
        """Refuse a graph of other weights or another preprocessing than the catalogue's.

        Args:
            card: What the catalogue says of the model of that name.

        Raises:
            ModelError: Where it is another model.
        """
        found = (self.model, self.weights_sha256, self.preprocessing)
        wanted = (card.name, card.weights_sha256, card.preprocessing)
        if found != wanted:
            raise ModelError(
                f"this graph is of {found[0]} with weights {found[1][:12]}… and {found[2]}; "
                f"the catalogue has {wanted[0]} with weights {wanted[1][:12]}… and {wanted[2]}"
            )

    def graph(self, card: ModelCard, path: Path, verification: Path | None) -> ExportedGraph:
        """The graph that this describes.

        Args:
            card: Its model's card.
            path: Its file.
            verification: The file of its verification set.
        """
        return ExportedGraph(
            card=card,
            path=path,
            format=self.format,
            precision=self.precision,
            sha256=self.graph_sha256,
            made_with=self.made_with,
            fp32_layers=self.fp32_layers,
            drift=self.drift,
            verification=verification,
            verification_drift=self.verification_drift,
        )
