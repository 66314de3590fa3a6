"""The four rows of the proposal's table, end to end on two cores: its method against this project's.

The proposal's: OpenCV seeks to every sample and writes a JPEG; each is read again and goes through an eager
ResNet-50 alone. Ours: the decode workers, the batches and the engine of the bot. Models are loaded and warm
before the clock starts, on both sides, and so are the decode workers, which the daemon keeps between uploads.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import Progress
from rich.table import Table

from benchmarks import video_models
from benchmarks.video_clips import RATE, Clips, Codec
from benchmarks.video_measuring import Cost, Stopwatch, measured
from benchmarks.video_methods import Order, limits, proposal
from classifier.batching import Batcher
from classifier.decode.sampling import SamplingMode, interval_s
from classifier.decode.sandbox import DecodePool
from classifier.engines.values import Precision
from classifier.scoring import score_media
from classifier.values import Classifier, MediaPart

LENGTHS_S = (30, 120, 600, 1800)
# The proposal's own estimates, for extraction and inference on its machine.
_ESTIMATED_S = {30: 5, 120: 10, 600: 26, 1800: 60}
_WANTED = {"ResNet-50": 4.0, "default model": 8.0}


@dataclass(frozen=True, slots=True)
class Way:
    """One way of scoring a whole film.

    Attributes:
        name: What the table calls it.
        model: `ResNet-50` or `default model`.
        mode: Of our decoder; None for the proposal's method.
        precision: Of our ResNet-50. Its weights are random, so int8 says what that costs, not how it drifts.
    """

    name: str
    model: str
    mode: SamplingMode | None
    precision: Precision = "fp32"


WAYS = (
    Way("the proposal: ResNet-50", "ResNet-50", None),
    Way("ours, exact: ResNet-50 fp32", "ResNet-50", "exact"),
    Way("ours, economical: ResNet-50 fp32", "ResNet-50", "economical"),
    Way("ours, exact: ResNet-50 int8", "ResNet-50", "exact", "int8"),
    Way("ours, economical: ResNet-50 int8", "ResNet-50", "economical", "int8"),
    Way("ours, exact: default model", "default model", "exact"),
    Way("ours, economical: default model", "default model", "economical"),
)


@dataclass(frozen=True, slots=True)
class Scored:
    """What scoring a film took.

    Attributes:
        frames: How many pictures were scored.
        engine: What ran the model.
        cost: Without loading; our worker's CPU included.
    """

    frames: int
    engine: str
    cost: Cost


def table(
    clips: Clips, progress: Progress, lengths_s: Sequence[int], codec: Codec, engine: str
) -> tuple[list[Table], dict[str, object]]:
    """Measure the rows.

    Args:
        clips: The films.
        progress: Shows what is being done.
        lengths_s: Lengths of the films in seconds.
        codec: Their format.
        engine: Of the default model.

    Returns:
        The table, and its figures by length.
    """
    graph = clips.directory / "resnet50-random.onnx"
    if not video_models.resnet50_graph(graph, "int8").exists():
        measured(video_models.export_resnet50, graph)
    rows: dict[int, dict[str, Scored]] = {}
    short = clips.film(codec, LENGTHS_S[0]).path
    task = progress.add_task("table", total=len(lengths_s) * len(WAYS))
    for seconds in lengths_s:
        film = clips.film(codec, seconds)
        order = Order(film.path, codec.format_name, interval_s(film.duration_s), film.duration_s, RATE, ())
        for way in WAYS:
            progress.update(task, description=f"{seconds} s of film, {way.name}")
            scored, _ = measured(run_way, way, order, graph, engine, short)
            rows.setdefault(seconds, {})[way.name] = scored
            progress.advance(task)
    progress.remove_task(task)
    return [_table(rows, codec)], _figures(rows)


def run_way(way: Way, order: Order, graph: Path, engine: str, short: Path) -> Scored:
    """Score a film one way, in a process that does nothing else.

    Args:
        way: How.
        order: Which film, and when to look.
        graph: What `export_resnet50` wrote.
        engine: Of the default model.
        short: A film that wakes the decode workers.

    Returns:
        What it took.
    """
    if way.mode is None:
        return _proposal(order)
    if way.model == "ResNet-50":
        return _ours(way.mode, order, video_models.fast_resnet50(graph, way.precision), short)
    return _ours(way.mode, order, video_models.default_model(engine), short)


def _proposal(order: Order) -> Scored:
    score = _eager_resnet50()
    with tempfile.TemporaryDirectory() as folder:
        stopwatch = Stopwatch()
        proposal(order, Path(folder))
        pictures = sorted(Path(folder).iterdir())
        for picture in pictures:
            score(picture)
        return Scored(len(pictures), "torch, eager", stopwatch.read())


def _eager_resnet50() -> Callable[[Path], float]:
    """One file at a time through torchvision's usual transforms."""
    import torch
    from PIL import Image

    from classifier.models import architectures
    from classifier.torch_compat import import_torchvision

    torch.set_num_threads(video_models.CORES)
    # The same weights as ours has: with others, vanishing activations could make it slower than it is.
    network = architectures.build("resnet50", seed=video_models.RESNET_SEED).get_submodule("backbone")
    transforms = import_torchvision().transforms
    prepare = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )

    def score(path: Path) -> float:
        with Image.open(path) as image, torch.no_grad():
            return float(network(prepare(image.convert("RGB"))[None])[0, 0])

    with torch.no_grad():
        network(torch.zeros(1, 3, 224, 224))
    return score


def _ours(mode: SamplingMode, order: Order, classifier: Classifier, short: Path) -> Scored:
    side = classifier.card.input_px
    classifier.predict(np.zeros((16, side, side, 3), np.uint8))
    cores = video_models.CORES
    with DecodePool(limits(mode, None), cores) as pool, Batcher(classifier, calls=cores) as batcher:
        score_media([MediaPart(short)], pool, batcher, threshold=1.0, stop_early=False)
        stopwatch = Stopwatch()
        score = score_media([MediaPart(order.path)], pool, batcher, threshold=1.0, stop_early=False)
        own = stopwatch.read()
    cost = Cost(own.cpu_s + score.summary.decode_s, own.wall_s, own.peak_bytes)
    return Scored(len(score.frames), classifier.engine, cost)


def _table(rows: dict[int, dict[str, Scored]], codec: Codec) -> Table:
    table = Table(
        title=f"{codec.name}, 854x480, extraction and inference on {video_models.CORES} cores: "
        "seconds (CPU seconds), frames, times faster than the proposal's method",
        title_justify="left",
    )
    table.add_column("film")
    for way in WAYS:
        engine = next(iter(rows.values()))[way.name].engine
        table.add_column(f"{way.name} ({engine})", justify="right")
    table.add_column("the proposal's own estimate", justify="right")
    for seconds, row in rows.items():
        cells = [_cell(row, way) for way in WAYS]
        estimate = _ESTIMATED_S.get(seconds)
        table.add_row(f"{seconds} s", *cells, f"{estimate} s" if estimate else "")
    return table


def _cell(row: dict[str, Scored], way: Way) -> str:
    scored = row[way.name]
    text = f"{scored.cost.wall_s:.1f} s ({scored.cost.cpu_s:.1f}), {scored.frames}"
    if way.mode is None:
        return text
    factor, wanted = _faster(row, way), _WANTED[way.model]
    return f"{text}\n{factor:.1f} x ({'met' if factor >= wanted else 'MISSED'}: {wanted:g})"


def _faster(row: dict[str, Scored], way: Way) -> float:
    return row[WAYS[0].name].cost.wall_s / row[way.name].cost.wall_s


def _figures(rows: dict[int, dict[str, Scored]]) -> dict[str, object]:
    return {
        f"{seconds}s": {
            way.name: {
                "wall_s": round(row[way.name].cost.wall_s, 2),
                "cpu_s": round(row[way.name].cost.cpu_s, 2),
                "frames": row[way.name].frames,
                "engine": row[way.name].engine,
                "times_faster": round(_faster(row, way), 2),
            }
            for way in WAYS
        }
        for seconds, row in rows.items()
    }


__all__ = ["LENGTHS_S", "WAYS", "Scored", "Way", "run_way", "table"]
