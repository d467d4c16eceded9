"""Draw the pictures of the README into docs/images: python3 -m tests.docs.images. Needs the package chromium.

overview: the page of a site with 60 monitors (tests/browser/serve.py). notification: the first mail of the README's
daemon, as an email client shows it.
"""

import asyncio
import html
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

from tests.docs.pages import ROOT, daemon_config, presentable
from tests.docs.world import world
from tests.mail_servers import html_of

IMAGES = ROOT / "docs" / "images"
SCHEMES = {"dark": 0, "light": 1}
"""The preferred colour scheme as a setting of Chromium."""

COLOURS = {
    "light": ("#ffffff", "#1f2328", "#59636e", "#d1d9e0"),
    "dark": ("#0d1117", "#f0f6fc", "#9198a1", "#3d444d"),
}
MAIL = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 20px 24px; background: {background}; color: {text}; font: 15px/1.5 sans-serif; }}
h1 {{ font-size: 20px; margin: 0 0 10px; }}
dl {{ margin: 0 0 14px; padding-bottom: 14px; border-bottom: 1px solid {line}; display: grid;
     grid-template-columns: 4em 1fr; color: {muted}; font-size: 14px; }}
dd {{ margin: 0; }}
</style><h1>{subject}</h1><dl>{headers}</dl>{body}"""


async def first_mail() -> EmailMessage:
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder), daemon_config(ROOT / "README.md") or "") as running:
            return running.mail.mails[0]


def mail_page(mail: EmailMessage, scheme: str) -> str:
    background, text, muted, line = COLOURS[scheme]
    headers = "".join(
        f"<dt>{name}</dt><dd>{html.escape(presentable(str(mail[name])))}</dd>"
        for name in ("From", "To", "Date")
    )
    return MAIL.format(
        background=background,
        text=text,
        muted=muted,
        line=line,
        subject=html.escape(presentable(str(mail["Subject"]))),
        headers=headers,
        body=presentable(re.sub(r".*<body[^>]*>|</body>.*", "", html_of(mail), flags=re.DOTALL)),
    )


@contextmanager
def overview() -> Iterator[str]:
    """The address of a site with many monitors."""
    command = [sys.executable, str(ROOT / "tests" / "browser" / "serve.py"), "--monitors", "60"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as site:
        assert site.stdin is not None
        assert site.stdout is not None
        yield next(line.strip() for line in site.stdout if line.startswith("http"))
        site.stdin.close()


def draw(address: str, scheme: str, image: Path, *, size: str, scale: float) -> None:
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                *("chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--lang=en-GB"),
                *(f"--user-data-dir={profile}", f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}"),
                *(
                    f"--force-device-scale-factor={scale}",
                    f"--window-size={size}",
                    f"--screenshot={image}",
                    address,
                ),
            ],
            check=True,
            capture_output=True,
        )


if __name__ == "__main__":
    mail = asyncio.run(first_mail())
    for scheme in SCHEMES:
        with tempfile.NamedTemporaryFile(suffix=".html") as file:
            Path(file.name).write_text(mail_page(mail, scheme))
            draw(
                f"file://{file.name}",
                scheme,
                IMAGES / f"notification-{scheme}.png",
                size="840,460",
                scale=1.5,
            )
    with overview() as address:
        for scheme in SCHEMES:
            draw(address, scheme, IMAGES / f"overview-{scheme}.png", size="1440,900", scale=0.75)
