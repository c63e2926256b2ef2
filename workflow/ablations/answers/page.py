"""A Markdown file as one HTML page that needs nothing else, for the workflow's report."""

import argparse
import html
import re
from pathlib import Path

from markdown_it import MarkdownIt

from ablations import cli
from ablations.errors import UserError
from ablations.files import write_text

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 75rem; margin: 1.5rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 0.85em; }
th, td { padding: 0.3em 0.5em; border-bottom: 1px solid #ddd; text-align: left; }
blockquote { margin: 1em 0; padding: 0.2em 1em; border-left: 4px solid #d55e00; }
code { font-size: 0.95em; background: #f3f3f3; padding: 0 0.2em; }
"""


def page(markdown: str) -> str:
    """The whole page. HTML inside the Markdown is shown as text, not run."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    heading = markdown.partition("\n")[0].lstrip("# ")
    title = html.escape(re.sub(r"\\(\W)", r"\1", heading))  # what formats.text escaped
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>'
        f"\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def main(arguments: argparse.Namespace) -> None:
    """Writes the page."""
    try:
        markdown = arguments.markdown.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{arguments.markdown} cannot be read: {error.strerror}") from None
    write_text(arguments.output, page(markdown))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--markdown", type=Path, required=True, help="the Markdown file")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
