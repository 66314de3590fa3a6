"""Generates the corpus into a folder, once: what is there with the right stamp is used again.

Every specimen has a folder of its own that appears in one step, so an interrupted run leaves nothing half
done and the next one goes on. Two runs at the same time do no harm.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from pathlib import Path

from bot.minicommons.motion import EncoderMissing
from bot.minicommons.pictures import Built
from bot.minicommons.plan import Corpus, Specimen, StoredFile
from bot.minicommons.positives import CorpusError, Positives
from bot.minicommons.recipe import Recipe
from bot.minicommons.recipes import RECIPES, SMALL

CORPUS_VERSION = 1
"""Raise it whenever a recipe or a builder changes: everything is then made anew."""
_MANIFEST = "specimen.json"

Progress = Callable[[int, int, str], None]


def prepare_corpus(
    directory: Path,
    names: Collection[str] | None = None,
    progress: Progress | None = None,
    model_cache: Path | None = None,
) -> Corpus:
    """Make sure that a corpus lies in a folder.

    Args:
        directory: The folder; made where missing.
        names: Only these specimens; None takes all. Without positives no model is needed.
        progress: Called before each specimen with how many are done, how many there are, and its name; and
            once more at the end with an empty name.
        model_cache: Where the model's weights lie; None: the user's cache folder.

    Returns:
        The corpus, in the order of publication.

    Raises:
        CorpusError: Where a name is unknown, the folder cannot be written, or an encoder or model is missing.
    """
    unknown = set(names or ()) - {recipe.name for recipe in RECIPES}
    if unknown:
        raise CorpusError(f"unknown specimens: {', '.join(sorted(unknown))}")
    chosen = [recipe for recipe in RECIPES if names is None or recipe.name in names]
    positives = Positives(directory / "positives", model_cache)
    specimens = []
    for done, recipe in enumerate(chosen):
        if progress:
            progress(done, len(chosen), recipe.name)
        try:
            specimens.append(_specimen(directory, recipe, positives))
        except EncoderMissing as error:
            raise CorpusError(f"{recipe.name}: {error}") from error
        except OSError as error:
            raise CorpusError(f"{directory}: the corpus cannot be written: {error}") from error
    if progress:
        progress(len(chosen), len(chosen), "")
    return Corpus(str(directory), tuple(specimens))


def _stamp(recipe: Recipe, positives: Positives) -> str:
    return f"{CORPUS_VERSION} {positives.stamp()}" if recipe.positive else str(CORPUS_VERSION)


def _specimen(directory: Path, recipe: Recipe, positives: Positives) -> Specimen:
    stamp = _stamp(recipe, positives)
    folder = directory / recipe.name
    file = _made_before(folder, stamp)
    if file is None:
        file = _make(directory, recipe, positives, stamp)
    # Only the bytes come from the disk; expectations are those of the code that runs.
    return Specimen(
        recipe.name,
        f"File:{recipe.title}",
        file,
        recipe.expected,
        recipe.story,
        recipe.fault,
        recipe.note,
        f"File:{recipe.moved_to}" if recipe.moved_to else None,
        recipe.bulk,
    )


def _made_before(folder: Path, stamp: str) -> StoredFile | None:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        file = StoredFile.from_json(manifest["file"])
        sound = (folder.parent / file.path).stat().st_size == file.size_bytes
        return file if sound and manifest["stamp"] == stamp else None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        # Of another version of this program, or damaged: made anew.
        return None


def _make(directory: Path, recipe: Recipe, positives: Positives, stamp: str) -> StoredFile:
    directory.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{recipe.name}-", dir=directory))
    try:
        built = recipe.build(work, positives)
        file = _stored(recipe, work, built)
        manifest = {"stamp": stamp, "file": asdict(file)}
        (work / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        target = directory / recipe.name
        with contextlib.suppress(FileNotFoundError):
            if _made_before(target, stamp) is None:
                shutil.rmtree(target)
        with contextlib.suppress(OSError):  # another run was faster
            work.rename(target)
        made = _made_before(target, stamp)
        if made is None:
            raise CorpusError(f"{target}: cannot be put in place; is it in use?")
        return made
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _stored(recipe: Recipe, work: Path, built: Built) -> StoredFile:
    content = (work / built.name).read_bytes()
    return StoredFile(
        f"{recipe.name}/{built.name}",
        recipe.mime,
        recipe.mediatype,
        built.width,
        built.height,
        len(content),
        hashlib.sha1(content, usedforsecurity=False).hexdigest(),
        built.pagecount,
        built.duration_s,
        built.thumbnails,
        tuple(f"{recipe.name}/{name}" for name in built.renders),
        tuple(replace(transcode, path=f"{recipe.name}/{transcode.path}") for transcode in built.transcodes),
    )


__all__ = ["CORPUS_VERSION", "RECIPES", "SMALL", "CorpusError", "Progress", "prepare_corpus"]
