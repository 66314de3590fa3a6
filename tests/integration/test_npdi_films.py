"""The layout of Pornography-800 with harmless films: built by video and by frame, divided, and evaluated."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from bot.classify import classify_files
from bot.commands.dataset import app as dataset_app
from bot.commands.evaluate import evaluate
from bot.settings import load_settings
from classifier.datasets import building, manifest
from classifier.datasets.splitting import read_whole, sealed_path
from classifier.datasets.values import DatasetError
from classifier.decode.limits import DecodeLimits
from classifier.training.decoding import read_picture
from tests.media import photo, save_video

evaluate_app = typer.Typer()
evaluate_app.command()(evaluate)

FORMATS = ((".mp4", "libx264"), (".webm", "libvpx-vp9"), (".mpg", "mpeg2video"))
WIDTH_PX, HEIGHT_PX, RATE = 160, 120, 10


def run(app: typer.Typer, *arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result


def film(seed: int, seconds: int = 3) -> list[Image.Image]:
    """The title that all these films have and a moment of black, then a view that wanders."""
    title = photo(WIDTH_PX, HEIGHT_PX, seed=999)
    view = np.asarray(photo(WIDTH_PX * 2, HEIGHT_PX * 2, seed=seed))
    frames = [title] * (RATE // 2) + [Image.new("RGB", (WIDTH_PX, HEIGHT_PX))] * (RATE // 2)
    for index in range((seconds - 1) * RATE):
        x, y = index * 4, index * 3
        frames.append(Image.fromarray(view[y : y + HEIGHT_PX, x : x + WIDTH_PX].copy()))
    return frames


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve films, one of them there once more at half the size, one that is cut off, and frames of all."""
    folder = tmp_path_factory.mktemp("npdi") / "Pornography-800"
    for number in range(12):
        name = f"vPorn{number:06d}" if number % 2 else f"vNonPorn{number:06d}"
        where = "vPorn" if number % 2 else ("vNonPornEasy", "vNonPornDifficulty")[number % 4 // 2]
        suffix, codec = FORMATS[number % len(FORMATS)]
        frames = film(number)
        path = folder / "Database" / where / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_video(path, frames, codec, rate=25 if codec == "mpeg2video" else RATE)
        still = folder / "Frames" / where / name
        still.mkdir(parents=True)
        for index in (12, 18, 25):
            frames[index].save(still / f"{name}#{index}.jpg")
    smaller = [frame.resize((WIDTH_PX // 2, HEIGHT_PX // 2)) for frame in film(1)]
    save_video(folder / "Database/vPorn/vPorn000100.mp4", smaller, "libx264", rate=RATE)
    (folder / "Database/vPorn/vPorn000101.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 400)
    return folder


@pytest.fixture(scope="module")
def films(root: Path) -> Path:
    """The manifest by video, divided."""
    path = root.parent / "films.parquet"
    run(dataset_app, "build", root, path, "--level", "video", code=1)
    shares = ("--train", 0.34, "--validation", 0.33, "--test", 0.33)
    run(dataset_app, "split", path, *shares)
    return path


def test_films_that_begin_alike_are_not_taken_for_copies_and_a_rescaled_one_is(films: Path) -> None:
    removed = building.removed_path(films).read_text().splitlines()[1:]
    found = {Path(line.split(",")[0]).name: line.split(",")[3] for line in removed}
    copy = found.keys() & {"vPorn000001.webm", "vPorn000100.mp4"}
    assert len(copy) == 1
    assert found == {copy.pop(): "near_duplicate", "vPorn000101.mp4": "undecodable"}
    whole = read_whole(films)
    assert len(whole) == 12
    assert {item.groups["difficulty"] for item in whole.items} == {"", "easy", "difficult"}


def test_frames_of_a_film_never_stand_on_two_sides(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "frames.parquet"
    run(dataset_app, "build", root, path)
    run(dataset_app, "split", path)
    assert sealed_path(path).is_file()
    sides = defaultdict(set)
    whole = read_whole(path)
    for item in whole.items:
        sides[item.source].add(item.split)
    assert len(whole) > 24
    assert len(sides) == 12
    assert all(len(of) == 1 for of in sides.values())
    assert {side for of in sides.values() for side in of} == {"train", "validation", "test"}
    run(dataset_app, "check", path)


def test_training_refuses_films_by_name_and_says_what_to_do(films: Path) -> None:
    dataset = manifest.read(films)
    item = next(item for item in dataset.items if item.path.endswith((".mp4", ".webm")))
    with pytest.raises(DatasetError, match=r"vN?o?n?Porn\d+\.\w+: cannot be decoded.*--level frame"):
        read_picture(dataset.path_of(item), item.sha256, DecodeLimits())


@pytest.mark.slow
def test_a_film_scores_as_its_highest_frame_and_the_page_says_so(films: Path, tmp_path: Path) -> None:
    sealed = sealed_path(films)
    arguments = ("open_nsfw", "--data", sealed, "--validation", films, "--out", tmp_path)
    result = run(evaluate_app, *arguments, "--no-speed", "--resamples", 60)
    dataset = manifest.read(sealed)
    count = len(dataset)
    rows = [json.loads(line) for line in (tmp_path / "open_nsfw/scores-test.jsonl").read_text().splitlines()]
    scores = {row["path"]: row["score"] for row in rows[1:]}
    assert scores.keys() == {item.path for item in dataset.items}
    # `evaluate` gives the model one picture at a time. Here, too: in batches that fill by chance, as films
    # are decoded side by side, the last digits on torch depend on what else was in a frame's batch.
    settings = load_settings(overrides={"classifier": {"engine": "torch-fp32", "batch_size": 1}})
    paths = [str(dataset.path_of(item)) for item in dataset.items]
    for item, found in zip(dataset.items, classify_files(settings, paths, keep_going=True), strict=True):
        assert found.scored is not None
        frames = found.scored.result.frames
        assert len(frames) >= 3
        assert scores[item.path] == max(frame.score for frame in frames)
    notice = f"{count} of {count} files are films"
    assert notice in result.output
    assert notice in (tmp_path / "open_nsfw/report.html").read_text()
    assert notice in (tmp_path / "open_nsfw/card.md").read_text().replace("\\", "")
