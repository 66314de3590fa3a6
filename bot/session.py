"""A requests session that leaves redirects alone, for those who follow them by hand."""

import requests


class PlainSession(requests.Session):
    """Hands out redirects as they come.

    Even with `allow_redirects=False`, requests reads the body of a redirect without any limit, and parses its
    target, which raises `ValueError` for a malformed one.
    """

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - requests' own
        """Never say where a redirect leads.

        Args:
            resp: The response.

        Returns:
            None, so that requests has nothing to prepare.
        """
        return None


__all__ = ["PlainSession"]
