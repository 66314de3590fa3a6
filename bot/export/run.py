"""An export from the store to a finished folder: `Exporter.run` is the whole of it.

No transaction is open while pictures are fetched or files written. What was suppressed while the export was
made is found before it appears, and the rows are written again without it.
"""

import csv
import hashlib
import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bot import __version__
from bot.errors import ConfigError
from bot.export import private, sampling
from bot.export.card import CardFacts, Tally, card
from bot.export.folder import NOTES, WITHDRAWN, Earlier, EarlierPictures, ExportFolder, Notes
from bot.export.formats import Format, Writers
from bot.export.licences import AskedLicences
from bot.export.pictures import HIDDEN, FirstOf, NoPicture, Pictures
from bot.export.record import Teller, Values
from bot.export.splits import SplitPlan
from storage import export
from storage.engine import Database
from storage.export import ExportFilter, ExportItem, Suppressed

log = logging.getLogger(__name__)

_MAX_PASSES = 5
OnStep = Callable[[str, int, int], None]
_HASHED = frozenset({".jsonl", ".csv", ".parquet", ".tar", ".json", ".xml"})


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be exported.

    Attributes:
        wanted: Which items.
        labels: Only these labels; empty for all.
        formats: Written beside the manifest.
        sample: So many of them, representatively; None for all.
        seed: Decides which.
        only_new: Only what no earlier export in the folder has as it is now.
        described: The same for people, by option.
    """

    wanted: ExportFilter = field(default_factory=ExportFilter)
    labels: frozenset[str] = frozenset()
    formats: tuple[Format, ...] = (Format.PARQUET,)
    sample: int | None = None
    seed: int = 0
    only_new: bool = False
    described: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Exported:
    """What an export came to.

    Attributes:
        folder: The finished export; None where there was nothing new.
        tally: The counts.
        missing: Items without a picture, by code.
        suppressed: Items left out since the wiki suppressed them.
        unchanged: Items left out since an earlier export has them.
        withdrawn: Items of earlier exports that were suppressed since.
    """

    folder: Path | None = None
    tally: Tally = field(default_factory=Tally)
    missing: Counter[str] = field(default_factory=Counter)
    suppressed: int = 0
    unchanged: int = 0
    withdrawn: tuple[str, ...] = ()


class Exporter:
    """Exports from one store.

    Args:
        database: The store.
        teller: Makes rows.
        kept: The kept copies.
        remote: Fetches what was not kept; None leaves it missing.
        licences: Asks for licences and authors; None leaves them unknown.
        wiki: Domain of the wiki, for the card.
        on_step: Told what is being done, how much of it is done, and of how much.
    """

    def __init__(
        self,
        database: Database,
        teller: Teller,
        kept: Pictures,
        remote: Pictures | None = None,
        licences: AskedLicences | None = None,
        wiki: str = "",
        on_step: OnStep = lambda _what, _done, _total: None,
    ) -> None:
        self._database, self._teller, self._wiki = database, teller, wiki
        self._kept, self._remote, self._licences, self._on_step = kept, remote, licences, on_step

    def run(self, root: Path, request: Request) -> Exported:
        """Export.

        Args:
            root: The folder to export to; the export appears in it as a numbered folder.
            request: What.

        Returns:
            What it came to.

        Raises:
            ConfigError: The folder holds exports and `only_new` was not asked for, or cannot be used.
            ServiceDown: The wiki is out of reach; run it again, and it goes on.
            StoreError: The store cannot be read.
        """
        if request.only_new and request.sample is not None:
            raise ConfigError("--new and --sample exclude each other: what is new is no representative part")
        folder = ExportFolder(root)
        try:
            if folder.finished() and not request.only_new:
                raise ConfigError(
                    f"{root}: holds an export already; --new adds what changed, or name another folder"
                )
            earlier = folder.earlier()
            for _ in range(_MAX_PASSES):
                written = self._write(folder, request, earlier)
                if not self._suppressed_of(written.item_ids):
                    break
                log.warning("export_repeated", extra={"reason": "suppressed meanwhile"})
            else:
                raise ConfigError(f"{root}: files are being suppressed faster than exported; try again later")
            exported = written.exported
            if exported.tally.rows or exported.withdrawn or not folder.finished():
                self._describe(folder, request, exported)
                exported.folder = folder.publish(frozenset(written.used))
            else:
                folder.drop()
        except OSError as error:
            raise ConfigError(f"{root}: cannot be written: {error.strerror or error}") from error
        else:
            return exported
        finally:
            folder.close()

    def _write(self, folder: ExportFolder, request: Request, earlier: Mapping[str, Earlier]) -> "_Pass":
        folder.begin()
        with self._database.read() as tx:
            gone = export.suppressed(tx)
        plan, total = self._plan()
        one = _Pass(folder, request, earlier, self._teller, plan)
        one.exported.withdrawn = self._withdrawn(earlier)
        with one.writing():
            pictures = FirstOf([EarlierPictures(earlier), one.notes, self._kept], self._remote)
            drawn = self._sample(request, gone)
            for page, done in self._pages(request):
                self._on_step("writing", done, total)
                left = [item for item in page if not gone.holds(item.upload_id, item.sha1)]
                one.exported.suppressed += len(page) - len(left)
                if drawn is not None:
                    left = [item for item in left if item.row_id in drawn]
                chances = {item.row_id: 1.0 for item in left} if drawn is None else drawn
                rows = self._with_licences(one, one.changed(left, chances))
                pictures.prepare([item for item, _ in rows])
                for item, row in rows:
                    one.add(item, row, pictures)
        return one

    def _with_licences(
        self, one: "_Pass", rows: Sequence[tuple[ExportItem, Values]]
    ) -> Sequence[tuple[ExportItem, Values]]:
        """Rows with what the wiki says of their files; without those of files that it hides."""
        if self._licences is None:
            return rows
        self._licences.prepare([item for item, _ in rows])
        told = [
            (item, row | self._licences.of(item)) for item, row in rows if not self._licences.is_hidden(item)
        ]
        one.exported.suppressed += len(rows) - len(told)
        return told

    def _plan(self) -> tuple[SplitPlan, int]:
        """The splits of all review items, whatever is exported, and how many there are."""
        plan, after, count = SplitPlan(), 0, 0
        while True:
            with self._database.read() as tx:
                links = export.links(tx, after)
            if not links:
                return plan, count
            for link in links:
                uploader = None if link.uploader is None else f"{link.wiki}:{link.uploader}"
                plan.add(link.row_id, link.item_id, uploader, link.sha1)
            after, count = links[-1].row_id, count + len(links)
            self._on_step("dividing", count, count)

    def _pages(self, request: Request) -> Iterator[tuple[list[ExportItem], int]]:
        """The items that are asked for, and how many rows were read by then."""
        after = done = 0
        while True:
            with self._database.read() as tx:
                page = export.page(tx, request.wanted, after)
            if not page:
                return
            after, done = page[-1].row_id, done + len(page)
            yield [item for item in page if not request.labels or item.label in request.labels], done

    def _sample(self, request: Request, gone: Suppressed) -> dict[int, float] | None:
        if request.sample is None:
            return None
        row_ids: list[int] = []
        inclusion: list[float] = []
        for page, done in self._pages(request):
            self._on_step("drawing", done, done)
            left = [item for item in page if not gone.holds(item.upload_id, item.sha1)]
            row_ids += [item.row_id for item in left]
            inclusion += [item.probability for item in left]
        return sampling.draw(row_ids, inclusion, request.sample, request.seed)

    def _withdrawn(self, earlier: Mapping[str, Earlier]) -> tuple[str, ...]:
        here = [item_id for item_id, before in earlier.items() if not before.withdrawn]
        return tuple(sorted(self._suppressed_of(here)))

    def _suppressed_of(self, item_ids: Collection[str]) -> frozenset[str]:
        with self._database.read() as tx:
            return export.suppressed_items(tx, item_ids)

    def _describe(self, folder: ExportFolder, request: Request, exported: Exported) -> None:
        self._on_step("hashing", 0, 1)
        now = datetime.now(UTC)
        hashes = {
            path.relative_to(folder.partial).as_posix(): _sha256(path)
            for path in sorted(folder.partial.rglob("*"))
            if path.is_file() and path.suffix in _HASHED and path.name != NOTES
        }
        facts = CardFacts(
            name=folder.next_name(),
            made_at=now,
            wiki=self._wiki,
            chosen=dict(request.described),
            missing=exported.missing,
            suppressed=exported.suppressed,
            unchanged=exported.unchanged,
            withdrawn=len(exported.withdrawn),
            with_names=self._teller.with_names,
            hashes=hashes,
            licences_asked=self._licences is not None,
        )
        with private.created(folder.partial / "README.md") as file:
            file.write(card(exported.tally, facts).encode())
        summary = {
            "format": "commons-nsfw-bot feedback export 1",
            "made_at": now.isoformat(),
            "program": __version__,
            "chosen": dict(request.described),
            "items": exported.tally.rows,
            "by": {name: dict(counter) for name, counter in exported.tally.by.items()},
            "effective_sample_size": exported.tally.effective(),
            "missing": dict(exported.missing),
            "suppressed": exported.suppressed,
            "unchanged": exported.unchanged,
            "withdrawn": len(exported.withdrawn),
            "licences_asked": self._licences is not None,
            "files": hashes,
        }
        with private.created(folder.partial / "export.json") as file:
            file.write(json.dumps(summary, indent=2, ensure_ascii=False).encode())


class _Pass:
    """One writing of all rows."""

    def __init__(
        self,
        folder: ExportFolder,
        request: Request,
        earlier: Mapping[str, Earlier],
        teller: Teller,
        plan: SplitPlan,
    ) -> None:
        self._folder, self._request, self._earlier = folder, request, earlier
        self._teller, self._plan = teller, plan
        self.exported = Exported()
        self.used: set[str] = set()
        self.item_ids: list[str] = []
        self.notes = Notes(folder)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Files are open inside, and on the disk afterwards."""
        partial = self._folder.partial
        self._writers = Writers(self._request.formats, partial, self._folder.next_name())
        with private.created(partial / "missing.csv") as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
            self._missing = csv.writer(text, lineterminator="\n")
            self._missing.writerow(("item_id", "title", "file_page", "code", "message"))
            try:
                yield
            finally:
                text.detach()
                self.notes.close()
                self._writers.close()
        if self.exported.withdrawn:
            with private.created(partial / WITHDRAWN) as file:
                file.write("\n".join(["item_id", *self.exported.withdrawn, ""]).encode())

    def changed(
        self, items: Sequence[ExportItem], chances: Mapping[int, float]
    ) -> list[tuple[ExportItem, Values]]:
        """The items that no earlier export has as they are and with a picture, each with its row."""
        rows = []
        for item in items:
            split, group = self._plan.split_of(item.row_id), self._plan.group_of(item.row_id)
            row = self._teller.row(item, split, group, chances[item.row_id])
            same = self._same(item, row)
            if same is not None and same.picture is not None:
                self.exported.unchanged += 1
            else:
                rows.append((item, row))
        return rows

    def _same(self, item: ExportItem, row: Values) -> Earlier | None:
        """The earlier export that has an item as it is."""
        before = self._earlier.get(item.item_id)
        return before if before and not before.withdrawn and before.version == row["version"] else None

    def add(self, item: ExportItem, row: Values, pictures: Pictures) -> None:
        """Write an item's row, unless an earlier export has the same and no picture came either."""
        found = pictures.open(item)
        if isinstance(found, NoPicture) and self._same(item, row):
            self.exported.unchanged += 1
            return
        if isinstance(found, NoPicture) and found.code == HIDDEN:
            self.exported.suppressed += 1  # the wiki says so before anybody else has noticed
            return
        where = None
        if isinstance(found, NoPicture):
            row["media_state"] = found.code
            self.exported.missing[found.code] += 1
            self._missing.writerow((item.item_id, item.title, row["file_page"], found.code, found.message))
        else:
            below = self._folder.put(found)
            where = self._folder.partial / below
            row |= {"media_state": found.origin, "sha256": found.sha256, "path": below.as_posix()}
            self.used.add(below.name)
            if found.origin == "fetched":
                self.notes.add(item, below)
        self._writers.add(row, where)
        self.exported.tally.add(row)
        self.item_ids.append(item.item_id)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


__all__ = ["Exported", "Exporter", "OnStep", "Request"]
