"""The documentation site: `make docs` builds it with Sphinx, warnings as errors.

Its sources are the pages as they lie in the repository, from its root on, so that a link which
works in a checkout works on the site, and the other way round.
"""

import contextlib
import io
import os
import re
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.parsers.rst import Directive

from drumigen import __version__
from drumigen_daemon.cli import main

if TYPE_CHECKING:
    from sphinx.application import Sphinx

os.environ["COLUMNS"] = "90"  # how wide the help of the commands is

project = "drumigen"
author = "the drumigen authors"
project_copyright = "the drumigen authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/**.md",
    "drumigen/model/checkpoints/MODEL_CARD.md",
    "drumigen/bank/bars/README.md",
    "tests/dialects/README.md",
    "tests/groove/README.md",
]

# links to headings, as GitHub makes them
myst_heading_anchors = 3

html_theme = "furo"  # system fonts, nothing from another host
html_title = f"drumigen {version}"
html_extra_path = ["root"]  # index.html, which leads to docs/index.html
html_show_sourcelink = False
html_copy_source = False

autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
python_use_unqualified_type_names = True


class Commands(Directive):
    """``drumigen-commands``: what ``drumigen COMMAND --help`` says, for every command."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each command."""
        names = re.findall(r"^    ([a-z]+)  ", said_by("--help"), re.MULTILINE)
        return [self._section(name) for name in names]

    @staticmethod
    def _section(name: str) -> nodes.section:
        section = nodes.section(ids=[nodes.make_id(name)])
        section += nodes.title(text=f"drumigen {name}")
        text = said_by(name, "--help")
        section += nodes.literal_block(text, text, language="text")
        return section


def said_by(*arguments: str) -> str:
    """Return what the command line prints for ``arguments``."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main(arguments)
    return said.getvalue()


def setup(app: "Sphinx") -> dict[str, bool]:
    """Register what the reference pages use."""
    app.add_directive("drumigen-commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
