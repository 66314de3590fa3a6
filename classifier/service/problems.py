"""Everything that can go wrong, as RFC 9457 problem details with codes that never change their meaning.

A file that was not scored is a problem and never a low score: alone it is the answer, in a batch it stands
in the place of the item's result. `PROBLEMS` is the list of codes; the sources of files may add some of
their own.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from classifier.decode.sandbox import DecodePoolClosed
from classifier.errors import ClassifierError, DecodeError
from classifier.service.access import AccessDenied
from classifier.service.deadline import DeadlineExceeded
from classifier.service.sources import SourceProblem

PROBLEM_JSON: Final = "application/problem+json"

PROBLEMS: Final[Mapping[str, tuple[int, str]]] = {
    # What the decoders say of a file.
    "undecodable": (422, "No decoder gets a picture out of it"),
    "timeout": (422, "Decoding it takes too long"),
    "too_large": (413, "It is over a limit of bytes, pixels, frames or items"),
    "audio": (422, "There is no picture in it"),
    "unsupported_type": (415, "It is of no kind that can be decoded"),
    "empty": (422, "It has no bytes"),
    # What is wrong with a request.
    "malformed_request": (400, "The request cannot be read"),
    "invalid_request": (422, "The request does not say what is needed"),
    "unsupported_media_type": (415, "The body is of no kind that this address takes"),
    "length_mismatch": (400, "The body ended before it was complete"),
    "upload_too_slow": (408, "The body came too slowly"),
    "not_found": (404, "There is nothing at this address"),
    "unknown_model": (404, "There is no model of this name"),
    "not_scored_yet": (404, "No result for this content is remembered"),
    "method_not_allowed": (405, "This address does not know the method"),
    "precondition_failed": (412, "The result is the one that the caller has"),
    "source_not_offered": (422, "This service fetches no files"),
    "items_failed": (422, "Some items were not scored, so there is no answer for all"),
    # What is wrong with a file that was only named.
    "host_not_allowed": (403, "The address is on no host that files are fetched from"),
    "invalid_title": (422, "There can be no file of this title"),
    "deleted": (404, "There is no such file"),
    "hidden": (404, "The file is hidden"),
    "superseded": (404, "That version of the file is gone"),
    "changed": (503, "The file changed while it was being fetched"),
    "rendition_unavailable": (503, "The file is not handed out at the moment"),
    "source_forbidden": (502, "The source refuses this service"),
    "source_unavailable": (503, "The source does not answer at the moment"),
    # Who may ask.
    "unauthorized": (401, "A valid bearer token is needed"),
    "forbidden": (403, "The token does not allow this"),
    "quota_exceeded": (429, "The quota of the token is used up"),
    "access_unavailable": (503, "Nobody can tell at the moment who may ask"),
    # How the service is.
    "overloaded": (503, "Too much is waiting already"),
    "not_ready": (503, "The model has not passed its self-test"),
    "shutting_down": (503, "The service is being ended"),
    "model_unavailable": (503, "The model does not score"),
    "deadline_exceeded": (504, "The time for this request is over"),
    "internal_error": (500, "A fault of the service"),
}


class Problem(Exception):
    """Something that ends a request, or an item of a batch, without a score.

    Args:
        code: Stable code.
        detail: One sentence about this case.
        status: HTTP status; None: the one in `PROBLEMS`.
        retry_after_s: When to try again, in seconds.
        more: Further members of the answer, such as `errors`.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        status: int | None = None,
        retry_after_s: float | None = None,
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status
        self.retry_after_s = retry_after_s
        self.more = more or {}
        self.headers = headers or {}

    @property
    def http_status(self) -> int:
        """The status of an answer with this problem alone."""
        return self.status or PROBLEMS[self.code][0]

    def members(self) -> dict[str, Any]:
        """The problem as it stands in JSON."""
        _, title = PROBLEMS.get(self.code, (0, HTTPStatus(self.http_status).phrase))
        return {
            "type": f"/problems/{self.code}",
            "title": title,
            "status": self.http_status,
            "code": self.code,
            "detail": self.detail,
            **self.more,
        }


def of(error: Exception) -> Problem:
    """Say in a problem what an error of ours means.

    Args:
        error: One that the parts of the service raise on purpose.

    Returns:
        The problem.

    Raises:
        Exception: The error itself, where it is not one of those.
    """
    match error:
        case Problem():
            return error
        case DecodeError():
            return Problem(error.code, error.message)
        case SourceProblem():
            return Problem(error.code, error.detail, error.status, error.retry_after_s)
        case AccessDenied():
            return Problem(
                error.code,
                error.detail,
                error.status,
                error.retry_after_s,
                headers=_CHALLENGE.get(error.code),
            )
        case DeadlineExceeded():
            return Problem(
                "deadline_exceeded", "the answer was not ready in time; nothing is known of the file"
            )
        case DecodePoolClosed():
            return Problem(
                "shutting_down", "the service is being ended; another one may answer", retry_after_s=1
            )
        case ClassifierError():
            return Problem("model_unavailable", str(error), retry_after_s=5)
        case _:
            raise error


EXPECTED: Final = (Problem, ClassifierError, SourceProblem, AccessDenied, DeadlineExceeded)
"""What `of` turns into a problem."""

_CHALLENGE: Final[Mapping[str, Mapping[str, str]]] = {
    "unauthorized": {"WWW-Authenticate": 'Bearer realm="classify"'},
    "forbidden": {"WWW-Authenticate": 'Bearer realm="classify", error="insufficient_scope"'},
}


def answer(problem: Problem, request_id: str | None = None) -> Response:
    """Make the answer of a request that ends in a problem.

    Args:
        problem: What went wrong.
        request_id: Names the request in the log; becomes `instance`.

    Returns:
        `application/problem+json`.
    """
    members = problem.members()
    if request_id is not None:
        members["instance"] = f"urn:request:{request_id}"
    headers = dict(problem.headers)
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(problem.retry_after_s)))
    body = json.dumps(members).encode()
    return Response(body, problem.http_status, headers, media_type=PROBLEM_JSON)


__all__ = ["EXPECTED", "PROBLEMS", "PROBLEM_JSON", "Problem", "answer", "of"]
