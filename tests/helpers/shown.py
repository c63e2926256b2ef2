"""What a browser would show of a page."""

import re
from html.parser import HTMLParser


class Shown(HTMLParser):
    """A page's elements with their attributes, its texts by element, and all of its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.written = ""  # everything, blanks as they are
        self._open: list[str] = []
        self._imported = re.findall(r"url\(['\"]?(https?:[^)]*)|@import", page)
        self.feed(page)
        self.text = " ".join(
            " ".join(found)
            for name, found in self.texts.items()
            if name not in ("style", "script", "title")
        )

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while tag in self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.written += data
        if data.strip() and self._open:
            self.texts.setdefault(self._open[-1], []).append(" ".join(data.split()))

    def attribute(self, name: str, tag: str | None = None) -> list[str]:
        """The values of an attribute, of one element or of all."""
        return [
            found[name] or "" for of, found in self.elements if name in found and tag in (None, of)
        ]

    def loaded(self) -> list[str]:
        """The addresses that a browser would load; links to follow are not among them."""
        found = [*self._imported, *self.attribute("href", "link")]
        for name in ("src", "srcset", "data", "poster"):
            found += self.attribute(name)
        return [address for address in found if not address.startswith("data:")]
