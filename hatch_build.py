"""Make the links of README.md absolute in what is built: the package index has no other files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_RELATIVE_LINK = re.compile(r"\]\((?![a-z]+:)([^)]+)\)")


class Readme(MetadataHookInterface):
    """Sets `readme`, which pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add README.md, with each relative link led to the tree of the version's tag."""
        tree = f"{metadata['urls']['Source']}/blob/v{metadata['version']}/"
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        # The index makes no anchors of headings, so links within the page go to the tree as well.
        text = _RELATIVE_LINK.sub(
            lambda link: f"]({tree}{'README.md' * link[1].startswith('#')}{link[1]})", text
        )
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
