"""The application, put together from its routers."""

from fastapi import FastAPI

from classifier.service.parts import ServiceLimits, ServiceParts


def create_app(parts: ServiceParts, limits: ServiceLimits) -> FastAPI:
    """Put the service together.

    Args:
        parts: What it works with.
        limits: How much requests may use.

    Returns:
        The application; it starts and ends nothing that it was handed.
    """
    app = FastAPI(title="Commons NSFW scores", version="1")
    app.state.parts, app.state.limits = parts, limits

    @app.get("/healthz")
    def healthz() -> dict[str, bool]:
        return {"ok": True}

    for path, mounted in parts.mounts.items():
        app.mount(path, mounted)
    return app


__all__ = ["create_app"]
