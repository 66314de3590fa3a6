"""Takes pictures of the console's pages to look at, and the two of the documentation.

    python -m tests.browser.console_pictures FOLDER [--docs]

The store is made up and its pictures are drawn; `--docs` writes docs/images/console-*.png.
"""

import argparse
import io
import os
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import ARGUMENTS, provide_chromium
from tests.console_site import ConsoleSite, console_site, served

DOCS = Path(__file__).parents[2] / "docs/images"
OPERATOR = ("", "queue", "scores?hours=720", "quality?days=60", "models", "purges")
REVIEWER = ("review", "queue")
LOOKS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1100, "height": 760}},
    "dark": {"viewport": {"width": 1100, "height": 760}, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 390, "height": 800}},
}


def take(browser: Browser, site: ConsoleSite, address: str, folder: Path) -> None:
    """Take a picture of every page in every look."""
    for look, options in LOOKS.items():
        for who, scopes, paths in (
            ("operator", ("console",), OPERATOR),
            ("reviewer", ("console", "review"), REVIEWER),
        ):
            page = _logged_in(browser, address, site.token("Example", *scopes), options)
            for path in paths:
                _open(page, f"{address}/{path}")
                name = path.split("?")[0] or "overview"
                page.screenshot(path=folder / f"{who}-{name}-{look}.png", full_page=True)
            page.goto(f"{address}/queue?medium=moving")
            page.locator("tbody th a").first.click()
            _open(page, page.url)
            page.screenshot(path=folder / f"{who}-item-{look}.png", full_page=True)
            page.context.close()


def take_for_docs(browser: Browser, site: ConsoleSite, address: str) -> None:
    """The overview in light, a review in dark."""
    for name, path, look, height in (("overview", "", "desktop", 920), ("review", "review", "dark", 560)):
        options = {**LOOKS[look], "viewport": {"width": 1100, "height": height}}
        page = _logged_in(browser, address, site.token("Example"), options)
        _open(page, f"{address}/{path}")
        with Image.open(io.BytesIO(page.screenshot())) as picture:
            small = picture.convert("RGB").quantize(224, dither=Image.Dither.NONE)
            small.save(DOCS / f"console-{name}.png", optimize=True)
        page.context.close()


def _logged_in(browser: Browser, address: str, secret: str, options: dict[str, Any]) -> Page:
    page = browser.new_context(**options).new_page()
    page.goto(f"{address}/login")
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Overview").wait_for()
    return page


def _open(page: Page, address: str) -> None:
    """Charts load when they are near; all of them are wanted."""
    page.goto(address)
    for image in page.locator("img").all():
        image.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    page.evaluate("window.scrollTo(0, 0)")


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    chromium = provide_chromium()
    with (
        tempfile.TemporaryDirectory() as temporary,
        console_site(Path(temporary)) as site,
        served(site) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=chromium.program, args=list(ARGUMENTS), env={**os.environ, **chromium.environment}
        )
        if options.docs:
            take_for_docs(browser, site, address)
        else:
            take(browser, site, address, options.folder)
        browser.close()


if __name__ == "__main__":
    main()
