"""Extensions of mkdocs for `make docs`: the manual as pages, and links to files outside docs/.

mkdocs calls these functions by their names (https://www.mkdocs.org/user-guide/plugins/#events).
"""

import re
import subprocess
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

MANUAL = Path(__file__).parent / "man"
HEADING = re.compile(r'<h([12]) class="S[hs]"[^>]*><a[^>]*>(.*?)</a></h[12]>', re.DOTALL)
OUTSIDE = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each page of the manual, as mandoc renders it."""
    for source in sorted(MANUAL.glob("*.[158]")):
        html = subprocess.run(
            ["mandoc", "-T", "html", "-O", "fragment", source], check=True, capture_output=True, text=True
        ).stdout
        title = f"{source.stem}({source.suffix[1:]})"
        # The table of contents has the headings of Markdown that are outside of HTML elements.
        html = html.partition('<div class="manual-text">\n')[2].partition('</div>\n<table class="foot">')[0]
        html = re.sub(r"</?section[^>]*>\n", "", html)
        html = HEADING.sub(lambda match: f"\n\n#{'#' * int(match[1])} {' '.join(match[2].split())}\n\n", html)
        content = f"---\ntitle: {title}\n---\n\n# {title}\n\n{html}"
        files.append(File.generated(config, f"man/{source.name}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show links out of docs/ as paths: those files are not published. Raises PluginError for a missing file."""
    del files
    root = Path(config.docs_dir).resolve()
    here = (root / page.file.src_uri).parent

    def shown(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        if target.is_relative_to(root):
            return link[0]  # mkdocs checks these
        if not target.exists():
            raise PluginError(f"{page.file.src_uri}: {link[2]} does not exist")
        return f"{link[1]} (`{target.relative_to(root.parent)}`)"

    return OUTSIDE.sub(shown, markdown)
