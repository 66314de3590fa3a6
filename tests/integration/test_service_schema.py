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
from schemathesis import Case, GenerationMode

from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.service.deadline import Deadline
from classifier.service.sources import Fetched, SourceProblem
from tests.service import listening, service

pytestmark = pytest.mark.slow

EXAMPLES = 40
OPERATIONS = (
    ("/v1/classify", "POST"),
    ("/v1/classify/batch", "POST"),
    ("/v1/scores/{sha256}", "GET"),
    ("/v1/models", "GET"),
    ("/v1/models/{name}", "GET"),
    ("/v1/models/{name}:predict", "POST"),
    ("/v2", "GET"),
    ("/v2/health/live", "GET"),
    ("/v2/health/ready", "GET"),
    ("/v2/models/{name}", "GET"),
    ("/v2/models/{name}/ready", "GET"),
    ("/v2/models/{name}/infer", "POST"),
    ("/healthz", "GET"),
    ("/readyz", "GET"),
    ("/metrics", "GET"),
    ("/problems/{code}", "GET"),
)


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
        yield Served(url, schemathesis.openapi.from_dict(document))


def test_every_operation_of_the_document_is_tried(served: Served) -> None:
    known = {
        (path, method.upper())
        for path, methods in served.schema.raw_schema["paths"].items()
        for method in methods
    }
    assert known == set(OPERATIONS)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: " ".join(reversed(operation)))
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
