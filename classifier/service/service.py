"""One running service: what its routers share, and whether it is ready, draining or neither."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from classifier.errors import ClassifierError
from classifier.service import self_test
from classifier.service.access import Caller
from classifier.service.memory_guard import MemoryGuard
from classifier.service.metrics import ServiceMetrics
from classifier.service.parts import ServiceLimits, ServiceParts
from classifier.service.problems import Problem
from classifier.service.scoring import ScoringDesk
from classifier.service.upload import Spool

log = logging.getLogger(__name__)

_RETRY_SELF_TEST_S = 5.0


class Service:
    """What the routers share.

    Args:
        parts: What it works with.
        limits: How much requests may use.

    Attributes:
        parts: As given.
        limits: As given.
        desk: Scores files.
        spool: Where files go.
        memory: Says whether there is room for another file.
        metrics: What it tells of itself.
        draining: Whether it was told to end; it then still answers, but is not ready any more.
        not_ready_because: Why it is not ready, None when it is.
    """

    def __init__(self, parts: ServiceParts, limits: ServiceLimits) -> None:
        self.parts = parts
        self.limits = limits
        self.desk = ScoringDesk(parts, limits)
        self.spool = Spool(parts.directory, limits.spool_bytes)
        self.memory = MemoryGuard(limits.memory_bytes)
        self.metrics = ServiceMetrics(self.desk, self.spool, parts.batcher, self.memory)
        self.draining = False
        self.not_ready_because: str | None = "the model has not been tried yet"
        self._receiving = 0

    async def become_ready(self) -> None:
        """Try the model on a known picture until it answers; see `self_test`."""
        while self.not_ready_because is not None:
            try:
                score = await run_in_threadpool(self_test.run, self.desk, self.spool, self.parts.level)
            except ClassifierError as error:
                self.not_ready_because = f"the self-test failed: {error}"
                log.error("self_test_failed", extra={"reason": str(error)})
                await asyncio.sleep(_RETRY_SELF_TEST_S)
            else:
                self.not_ready_because = None
                model = self.desk.model
                told = {"model": model["name"], "engine": model["engine"], "self_test_score": round(score, 6)}
                log.info("service_ready", extra=told)

    def require_ready(self) -> None:
        """Score nothing with a model that was not tried.

        Raises:
            Problem: `not_ready`.
        """
        if self.not_ready_because is not None:
            raise Problem("not_ready", self.not_ready_because, retry_after_s=2)

    def require_taking(self) -> None:
        """Be ready, and not about to end.

        Raises:
            Problem: `not_ready`, `shutting_down`.
        """
        self.require_ready()
        if self.draining:
            raise Problem("shutting_down", "the service is being ended", retry_after_s=5)

    async def admit(self, request: Request, scope: str, cost: int) -> Caller:
        """Ask whether the caller may.

        Args:
            request: Who asks.
            scope: For what.
            cost: For how many files.

        Returns:
            The caller; the access log names the account.

        Raises:
            AccessDenied: It may not.
        """
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip() if kind.lower() == "bearer" and token.strip() else None
        access = self.parts.access
        # A turn of a thread costs as much as all the rest of the admission of those who are known.
        caller = access.admit_at_once(given, scope=scope, cost=cost)
        if caller is None:
            caller = await run_in_threadpool(access.admit, given, scope=scope, cost=cost)
        request.state.account = caller.account
        return caller

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Receive a body, which only so many requests may do at once, and none when memory is short.

        Raises:
            Problem: `overloaded`.
        """
        self.memory.check()
        if self._receiving >= self.limits.uploads:
            detail = f"{self._receiving} bodies are being received already"
            raise Problem("overloaded", detail, retry_after_s=self.limits.retry_after_s)
        self._receiving += 1
        try:
            yield
        finally:
            self._receiving -= 1


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


__all__ = ["Service", "service_of"]
