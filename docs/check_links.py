"""Check the links of the pages that were built: every file and every place on a page is there.

    python docs/check_links.py build/docs

Addresses of other sites are listed, not visited: a build needs no network.
"""

from __future__ import annotations

import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit


class Page(HTMLParser):
    """What a page leads to, and the places on it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.places.add(value)
            if name in ("href", "src") and value:
                self.links.append(value)


def html(root: Path) -> list[Path]:
    """Return the pages; in _static there are the theme's templates."""
    return [path for path in sorted(root.rglob("*.html")) if "_static" not in path.parts]


def dead(root: Path) -> tuple[list[str], Counter[str]]:
    """Return the links that lead nowhere, and how often each other site is named."""
    pages = {path: Page(path.read_text("utf-8")) for path in html(root)}
    found, others = [], Counter[str]()
    for path, page in pages.items():
        for link in page.links:
            split = urlsplit(link)
            if split.scheme or split.netloc:
                if split.scheme != "data":
                    others[urldefrag(link).url] += 1
                continue
            to = (path.parent / unquote(split.path)).resolve() if split.path else path
            place = unquote(split.fragment)
            missing = not to.is_file() or (to in pages and place and place not in pages[to].places)
            if missing and link != "#":
                found.append(f"{path.relative_to(root)}: {link}")
    return found, others


def main() -> None:
    root = Path(sys.argv[1]).resolve()
    found, others = dead(root)
    print(f"{len(html(root))} pages, links to {len(others)} other places, NOT RUN:")
    print(*(f"  {link}" for link in sorted(others)), sep="\n")
    print(*(f"dead: {link}" for link in found), sep="\n", file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
