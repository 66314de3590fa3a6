"""What an export reads: reviewed items with all that is known of them, page after page in constant memory.

Pages go by row id (keyset), so that the millionth costs what the first does and no transaction stays open
while pictures are fetched. What the wiki suppressed is left out here already, and so are other uploads of the
same bytes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from storage import reviews
from storage.feedback_tables import KeptCopyRow
from storage.review_values import ReviewState, Verdict
from storage.standing import is_nsfw, latest_per_person
from storage.tables import (
    ClassificationRow,
    FileChangeRow,
    FileChangeUploadRow,
    ModelVersionRow,
    ReviewItemRow,
    UploadRow,
)
from storage.values import ChangeKind, FrameScore, ReviewReason

PAGE_ITEMS = 200


@dataclass(frozen=True, slots=True)
class ExportFilter:
    """Which review items are wanted; None asks nothing.

    Attributes:
        since: Put up for review at this time or later.
        until: Put up for review before this time.
        reason: Why they were chosen.
        model: Name of the model whose score they carry.
    """

    since: datetime | None = None
    until: datetime | None = None
    reason: ReviewReason | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """A reduced picture of an upload that we still have.

    Attributes:
        sha256: Of its bytes, lower-case hex; names the file.
        media_type: Such as `image/jpeg`.
    """

    sha256: str
    media_type: str


@dataclass(frozen=True, slots=True)
class ExportItem:
    """One review item, with everything an export tells of it.

    Attributes:
        row_id: Row id of the item; pages go by it.
        item_id: Public id.
        upload_id: Row id of the upload.
        wiki: Database name of the wiki.
        log_id: The wiki's log id.
        title: Title at the time of the upload.
        current_title: Title now.
        uploader: Who uploaded it; None where hidden.
        sha1: Base 36, 31 digits; None where hidden.
        file_timestamp: The version's own timestamp.
        logged_at: When it was uploaded.
        score: Score in 0..1.
        predicted: What the model said, `nsfw` or `sfw`.
        threshold: The threshold that was compared with.
        worst: The frame that gave the score.
        frame_count: How many frames were scored.
        rendition: What was downloaded: url, kind, width_px.
        scored_at: When.
        model: Name of the model.
        weights_sha256: Hash of its weights.
        preprocessing: Id of its preprocessing.
        engine: What ran it.
        reason: Why it was chosen for review.
        stratum: The stratum it was drawn from.
        probability: The probability with which it was chosen.
        chosen_at: When it was put up for review.
        state: Where the review stands.
        verdicts: All of them, superseded and untrusted ones too, in the order given.
        kept: The newest picture of it that was not purged.
    """

    row_id: int
    item_id: str
    upload_id: int
    wiki: str
    log_id: int
    title: str
    current_title: str
    uploader: str | None
    sha1: str | None
    file_timestamp: datetime | None
    logged_at: datetime
    score: float
    predicted: str
    threshold: float
    worst: FrameScore
    frame_count: int
    rendition: Mapping[str, str | int | float | None]
    scored_at: datetime
    model: str
    weights_sha256: str
    preprocessing: str
    engine: str
    reason: str
    stratum: str | None
    probability: float
    chosen_at: datetime
    state: str
    verdicts: tuple[Verdict, ...]
    kept: KeptPicture | None

    @property
    def label(self) -> str:
        """`nsfw` or `safe` where the trusted verdicts agree, else `disputed`, `unsure` or `open`."""
        codes = [vote.code for vote in latest_per_person(one for one in self.verdicts if one.trusted)]
        agreed = is_nsfw(codes)
        if agreed is not None:
            return "nsfw" if agreed else "safe"
        if not codes:
            return "open"
        return "disputed" if self.state == ReviewState.DISPUTED else "unsure"


@dataclass(frozen=True, slots=True)
class Link:
    """What ties an item to others that must be in the same split.

    Attributes:
        row_id: Row id of the item.
        item_id: Public id.
        wiki: Database name of the wiki.
        uploader: Who uploaded it; None where hidden.
        sha1: Of the file's bytes; None where hidden.
    """

    row_id: int
    item_id: str
    wiki: str
    uploader: str | None
    sha1: str | None


@dataclass(frozen=True, slots=True)
class Suppressed:
    """What must not leave the house.

    Attributes:
        upload_ids: Uploads that the wiki suppressed and did not restore since.
        sha1s: Hashes of their bytes, wherever these were uploaded too.
    """

    upload_ids: frozenset[int]
    sha1s: frozenset[str]

    def holds(self, upload_id: int, sha1: str | None) -> bool:
        """Whether an upload is one of them."""
        return upload_id in self.upload_ids or (sha1 is not None and sha1 in self.sha1s)


def page(
    tx: Session, wanted: ExportFilter, after_row_id: int = 0, limit: int = PAGE_ITEMS
) -> list[ExportItem]:
    """The next items.

    Args:
        tx: A session of `Database.read()`.
        wanted: Which.
        after_row_id: The last row id of the page before.
        limit: At most so many.

    Returns:
        The items by row id; empty at the end. Suppressed ones are among them: ask `suppressed`.
    """
    rows = tx.execute(
        select(
            ReviewItemRow.id,
            ReviewItemRow.item_id,
            UploadRow.id,
            UploadRow.wiki,
            UploadRow.log_id,
            UploadRow.title,
            UploadRow.current_title,
            UploadRow.user,
            UploadRow.sha1,
            UploadRow.file_timestamp,
            UploadRow.logged_at,
            ClassificationRow.score,
            ClassificationRow.label,
            ClassificationRow.threshold,
            ClassificationRow.worst,
            ClassificationRow.frame_count,
            ClassificationRow.rendition,
            ClassificationRow.created_at,
            ModelVersionRow.name,
            ModelVersionRow.weights_sha256,
            ModelVersionRow.preprocessing,
            ModelVersionRow.engine,
            ReviewItemRow.reason,
            ReviewItemRow.stratum,
            ReviewItemRow.inclusion_probability,
            ReviewItemRow.created_at,
            ReviewItemRow.state,
        )
        .join_from(ReviewItemRow, UploadRow, UploadRow.id == ReviewItemRow.upload_id)
        .join(ClassificationRow, ClassificationRow.id == ReviewItemRow.classification_id)
        .join(ModelVersionRow, ModelVersionRow.id == ClassificationRow.model_version_id)
        .where(ReviewItemRow.id > after_row_id, *_conditions(wanted))
        .order_by(ReviewItemRow.id)
        .limit(limit)
    ).all()
    verdicts = reviews.verdicts_by_row(tx, [row[0] for row in rows])
    kept = _kept(tx, [row[2] for row in rows])
    return [_item(row, verdicts.get(row[0], ()), kept.get(row[2])) for row in rows]


def links(tx: Session, after_row_id: int = 0, limit: int = 5000) -> list[Link]:
    """What ties all review items together, page after page; filters would make splits depend on them.

    Args:
        tx: A session of `Database.read()`.
        after_row_id: The last row id of the page before.
        limit: At most so many.

    Returns:
        By row id; empty at the end.
    """
    rows = tx.execute(
        select(ReviewItemRow.id, ReviewItemRow.item_id, UploadRow.wiki, UploadRow.user, UploadRow.sha1)
        .join_from(ReviewItemRow, UploadRow, UploadRow.id == ReviewItemRow.upload_id)
        .where(ReviewItemRow.id > after_row_id)
        .order_by(ReviewItemRow.id)
        .limit(limit)
    )
    return [Link(*row) for row in rows]


def suppressed(tx: Session) -> Suppressed:
    """Everything that is suppressed now: rare, and therefore read at once.

    Args:
        tx: Any session of the database.

    Returns:
        The uploads, and the hashes of their bytes.
    """
    ever = (
        select(FileChangeUploadRow.upload_id)
        .join(FileChangeRow, FileChangeRow.id == FileChangeUploadRow.file_change_id)
        .where(FileChangeRow.kind == ChangeKind.SUPPRESS.value)
    )
    rows = tx.execute(
        select(UploadRow.id, UploadRow.sha1, FileChangeRow.kind)
        .join_from(UploadRow, FileChangeUploadRow, FileChangeUploadRow.upload_id == UploadRow.id)
        .join(FileChangeRow, FileChangeRow.id == FileChangeUploadRow.file_change_id)
        .where(
            UploadRow.id.in_(ever),
            FileChangeRow.kind.in_((ChangeKind.SUPPRESS.value, ChangeKind.RESTORE.value)),
        )
        .order_by(FileChangeRow.logged_at, FileChangeRow.log_id)
    )
    latest = {upload_id: (kind, sha1) for upload_id, sha1, kind in rows}
    gone = {upload_id: sha1 for upload_id, (kind, sha1) in latest.items() if kind == ChangeKind.SUPPRESS}
    return Suppressed(frozenset(gone), frozenset(sha1 for sha1 in gone.values() if sha1 is not None))


def suppressed_items(tx: Session, item_ids: Collection[str]) -> frozenset[str]:
    """Those of some items that are suppressed now.

    Args:
        tx: Any session of the database.
        item_ids: Public ids.

    Returns:
        Public ids.
    """
    gone = suppressed(tx)
    if not gone.upload_ids:
        return frozenset()
    found: set[str] = set()
    for chosen in (
        *(UploadRow.id.in_(part) for part in _chunks(sorted(gone.upload_ids))),
        *(UploadRow.sha1.in_(part) for part in _chunks(sorted(gone.sha1s))),
    ):
        found.update(
            tx.scalars(
                select(ReviewItemRow.item_id)
                .join(UploadRow, UploadRow.id == ReviewItemRow.upload_id)
                .where(chosen)
            )
        )
    return frozenset(found.intersection(item_ids))


def _conditions(wanted: ExportFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        conditions.append(ReviewItemRow.created_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(ReviewItemRow.created_at < wanted.until)
    if wanted.reason is not None:
        conditions.append(ReviewItemRow.reason == wanted.reason.value)
    if wanted.model is not None:
        conditions.append(ModelVersionRow.name == wanted.model)
    return conditions


def _item(row: Sequence[Any], verdicts: Iterable[Verdict], kept: KeptPicture | None) -> ExportItem:
    """The columns of `page` are in the order of the value's fields."""
    return ExportItem(*(*row[:14], reviews.frame(row[14]), *row[15:], tuple(verdicts), kept))


def _kept(tx: Session, upload_ids: Sequence[int]) -> dict[int, KeptPicture]:
    rows = tx.execute(
        select(KeptCopyRow.upload_id, KeptCopyRow.sha256, KeptCopyRow.media_type)
        .where(KeptCopyRow.upload_id.in_(upload_ids), KeptCopyRow.purged_at.is_(None))
        .order_by(KeptCopyRow.kept_at, KeptCopyRow.id)
    )
    return {upload_id: KeptPicture(sha256, media_type) for upload_id, sha256, media_type in rows}


def _chunks(values: Sequence[Any], size: int = 500) -> list[Sequence[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
