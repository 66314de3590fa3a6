"""A real MediaWiki for the tests: Debian's packages, unprivileged, cached, fresh per session."""

from tests.sandbox_wiki.errors import ApiRefused, SandboxError, SandboxUnavailable
from tests.sandbox_wiki.switches import Switches
from tests.sandbox_wiki.wiki import SandboxWiki

__all__ = ["ApiRefused", "SandboxError", "SandboxUnavailable", "SandboxWiki", "Switches"]
