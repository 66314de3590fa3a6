"""What a row of an export holds. Pure: from what the store knows to plain values, under names that are kept.

Moderators are pseudonyms (HMAC-SHA256 under a key that stays here): comments, groups, revisions and the time
of day would lead back to a person through the page's history, and are left out with the names.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from bot.media.sha1 import hex_from_base36
from storage.export import ExportItem
from storage.review_values import Verdict
from storage.standing import latest_per_person

Kind = Literal["text", "number", "count", "time", "verdicts"]
FIELDS: Mapping[str, Kind] = {
    "item_id": "text",
    "label": "text",
    "predicted_label": "text",
    "score": "number",
    "threshold": "number",
    "model": "text",
    "weights_sha256": "text",
    "preprocessing": "text",
    "engine": "text",
    "reason": "text",
    "stratum": "text",
    "inclusion_probability": "number",
    "review_probability": "number",
    "sampling_probability": "number",
    "weight": "number",
    "split": "text",
    "source": "text",
    "review_state": "text",
    "verdicts": "verdicts",
    "wiki": "text",
    "log_id": "count",
    "title": "text",
    "current_title": "text",
    "file_page": "text",
    "licence": "text",
    "licence_url": "text",
    "author": "text",
    "sha1": "text",
    "file_timestamp": "time",
    "uploaded_at": "time",
    "scored_at": "time",
    "chosen_at": "time",
    "frame_count": "count",
    "worst_at_s": "number",
    "worst_page": "count",
    "media_url": "text",
    "media_kind": "text",
    "media_state": "text",
    "sha256": "text",
    "path": "text",
    "version": "text",
}
"""The columns, in their order."""
VERDICT_FIELDS: Mapping[str, Kind | Literal["flag"]] = {
    "code": "text",
    "moderator": "text",
    "trusted": "flag",
    "untrusted_reason": "text",
    "blind": "flag",
    "hinted": "flag",
    "given_at": "time",
    "via": "text",
    "counts": "flag",
    "comment": "text",
    "groups": "text",
    "revision_id": "count",
}
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Teller:
    """Turns items into rows.

    Attributes:
        key: Secret under which names become pseudonyms; equal keys give equal pseudonyms.
        page_url: Address of a page, with {title}.
        with_names: Whether moderators are named.
    """

    key: bytes
    page_url: str
    with_names: bool = False

    def row(self, item: ExportItem, split: str, group: str, sampling_probability: float = 1.0) -> Values:
        """The values of an item, its licence and picture still unknown.

        Args:
            item: The item.
            split: `train`, `validation` or `test`.
            group: What may not be divided between splits.
            sampling_probability: With which it was drawn from the reviewed items.

        Returns:
            A value for each of `FIELDS`; None where there is none, times as datetimes.
        """
        probability = item.probability * sampling_probability
        values: Values = {
            "item_id": item.item_id,
            "label": item.label,
            "predicted_label": "nsfw" if item.predicted == "nsfw" else "safe",
            "score": item.score,
            "threshold": item.threshold,
            "model": item.model,
            "weights_sha256": item.weights_sha256,
            "preprocessing": item.preprocessing,
            "engine": item.engine,
            "reason": item.reason,
            "stratum": item.stratum,
            "inclusion_probability": probability,
            "review_probability": item.probability,
            "sampling_probability": sampling_probability,
            "weight": 1 / probability,
            "split": split,
            "source": self.pseudonym("group", group),
            "review_state": item.state,
            "verdicts": self._verdicts(item),
            "wiki": item.wiki,
            "log_id": item.log_id,
            "title": item.title,
            "current_title": item.current_title,
            "file_page": self.page_url.format(title=quote(item.current_title.replace(" ", "_"), safe=":/")),
            "sha1": sha1_hex(item.sha1),
            "file_timestamp": item.file_timestamp,
            "uploaded_at": item.logged_at,
            "scored_at": item.scored_at,
            "chosen_at": item.chosen_at,
            "frame_count": item.frame_count,
            "worst_at_s": item.worst.at_s,
            "worst_page": item.worst.page,
            "media_url": item.rendition.get("url"),
            "media_kind": item.rendition.get("kind"),
        }
        version = hashlib.sha256(json.dumps(values, default=_plain, sort_keys=True).encode()).hexdigest()
        # In the order of the columns; a row is complete once licence and picture are known.
        return {**dict.fromkeys(FIELDS), **values, "version": version}

    def pseudonym(self, kind: str, name: str) -> str:
        """A name that says nothing, the same for the same name.

        Args:
            kind: `moderator` or `group`; keeps equal names of different kinds apart.
            name: What to hide.

        Returns:
            16 hex digits after a letter for the kind.
        """
        digest = hmac.new(self.key, f"{kind}:{name}".encode(), hashlib.sha256).hexdigest()
        return f"{kind[0]}-{digest[:16]}"

    def _verdicts(self, item: ExportItem) -> list[Values]:
        standing = {one.id for one in latest_per_person(one for one in item.verdicts if one.trusted)}
        return [self._verdict(item.wiki, one, one.id in standing) for one in item.verdicts]

    def _verdict(self, wiki: str, one: Verdict, counts: bool) -> Values:
        person = one.author if one.author_id is None else str(one.author_id)
        told: Values = {
            "code": one.code.value,
            "moderator": self.pseudonym("moderator", f"{wiki}:{person}"),
            "trusted": one.trusted,
            "untrusted_reason": one.untrusted_reason,
            "blind": one.blind,
            "hinted": one.hinted,
            "given_at": one.given_at.replace(hour=0, minute=0, second=0, microsecond=0),
            "via": one.source.value,
            "counts": counts,
            "comment": None,
            "groups": None,
            "revision_id": None,
        }
        if self.with_names:
            told |= {
                "moderator": one.author,
                "given_at": one.given_at,
                "comment": one.comment,
                "groups": " ".join(one.author_groups),
                "revision_id": one.revision_id,
            }
        return told


def sha1_hex(base36: str | None) -> str | None:
    """A SHA-1 as everybody but MediaWiki's database writes it; None where it is none."""
    try:
        return None if base36 is None else hex_from_base36(base36)
    except ValueError:
        return None


def jsonable(values: Values) -> Values:
    """The same values as JSON takes them: times as ISO 8601."""
    return {name: _jsonable(value) for name, value in values.items()}


def flat(values: Values) -> Values:
    """The same values for tables without nulls and lists: empty text, and verdicts as JSON."""
    plain = jsonable(values)
    return {
        name: json.dumps(value, ensure_ascii=False)
        if FIELDS[name] == "verdicts"
        else ""
        if value is None
        else value
        for name, value in plain.items()
    }


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return [jsonable(one) for one in value]
    return value


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not plain")


__all__ = ["FIELDS", "VERDICT_FIELDS", "Kind", "Teller", "Values", "flat", "jsonable", "sha1_hex"]
