"""What a browser would find in a page: tags, attributes, words, scripts."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """A parsed page.

    ``tags`` holds (name, attributes) in order, ``words`` the text outside scripts and style,
    ``scripts`` the text of each script.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.words += data

    def all(self, tag: str) -> list[dict]:
        """Attributes of every tag of a name, in order."""
        return [attributes for name, attributes in self.tags if name == tag]
