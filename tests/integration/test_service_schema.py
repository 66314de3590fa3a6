"""Schemathesis reads the service's OpenAPI document and looks for answers that it does not promise.

Over a real port, with the real decoders and a model that anyone can compute; the examples follow from a
fixed seed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.config import NotAServerErrorConfig

from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.service.deadline import Deadline
from classifier.service.sources import Fetched, SourceProblem
from tests.service import grey, listening, service

pytestmark = pytest.mark.slow

EXAMPLES = 40
OPERATIONS = (
    ("/v1/classify", "POST"),
    ("/v1/classify/batch", "POST"),
    ("/v1/models/{name}:predict", "POST"),
    ("/v2/models/{name}/infer", "POST"),
    ("/v1/scores/{sha256}", "GET"),
    ("/problems/{code}", "GET"),
)
"""Those that can be asked wrongly; the first of them bring bodies."""
SIMPLE = (
    ("/v1/models", "GET"),
    ("/v1/models/{name}", "GET"),
    ("/v2", "GET"),
    ("/v2/health/live", "GET"),
    ("/v2/health/ready", "GET"),
    ("/v2/models/{name}", "GET"),
    ("/v2/models/{name}/ready", "GET"),
    ("/healthz", "GET"),
    ("/readyz", "GET"),
    ("/metrics", "GET"),
)
RIGHTLY, WRONGLY = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
BUSY = ["2xx", "3xx", "4xx", "503", "504"]
"""That it is busy, or that the caller's own time is up, is no fault of a server."""


# No schema can say which bytes are a picture.
for _kind in ("application/octet-stream", "application/ogg", "image/*", "video/*"):
    schemathesis.openapi.media_type(_kind, st.integers(0, 255).map(grey))


class NoFiles:
    """Sources whose wiki has no files, and whose list has no hosts."""

    @contextmanager
    def title(self, title: str, deadline: Deadline) -> Iterator[Fetched]:
        raise SourceProblem("deleted", 404, "There is no such file.")
        yield

    @contextmanager
    def url(self, url: str, deadline: Deadline) -> Iterator[Fetched]:
        raise SourceProblem("host_not_allowed", 403, "Not on the list.")
        yield


@dataclass(frozen=True)
class Served:
    """The service's address and what it says of itself."""

    url: str
    schema: Any


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("spool")
    with (
        DecodePool(DecodeLimits(), workers=1) as pool,
        service(pool, folder, sources=NoFiles()) as app,
        listening(app) as url,
    ):
        document = requests.get(f"{url}/openapi.json", timeout=30).json()
        config = schemathesis.Config()
        config.projects.default.checks.not_a_server_error = NotAServerErrorConfig(expected_statuses=BUSY)
        yield Served(url, schemathesis.openapi.from_dict(document, config=config))


def test_every_operation_of_the_document_is_tried(served: Served) -> None:
    paths = served.schema.raw_schema["paths"]
    known = {(path, method.upper()) for path, methods in paths.items() for method in methods}
    assert known == {*OPERATIONS, *SIMPLE}


@pytest.mark.parametrize(
    ("operation", "mode"),
    [
        *((operation, mode) for operation in OPERATIONS for mode in (RIGHTLY, WRONGLY)),
        *((operation, RIGHTLY) for operation in SIMPLE),
    ],
    ids=lambda value: value.value if isinstance(value, GenerationMode) else " ".join(reversed(value)),
)
def test_no_request_gets_an_answer_that_the_document_does_not_promise(
    served: Served, operation: tuple[str, str], mode: GenerationMode
) -> None:
    path, method = operation
    strategy = served.schema[path][method].as_strategy(generation_mode=mode)

    @seed(8)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def ask(case: Case) -> None:
        case.call_and_validate(base_url=served.url, timeout=30)

    ask()
