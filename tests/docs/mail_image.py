"""Draw the first notification of the README's daemon as a mail program shows it: python3 -m tests.docs.mail_image.

Needs the package chromium. Writes docs/images/notification-light.png and -dark.png.
"""

import asyncio
import html
import subprocess
import tempfile
from email.message import EmailMessage
from pathlib import Path

from tests.docs.pages import ROOT, daemon_config, presentable
from tests.docs.world import world

IMAGES = ROOT / "docs" / "images"
WIDTH, HEIGHT = 760, 290
COLOURS = {
    "light": ("#ffffff", "#1f2328", "#59636e", "#d1d9e0"),
    "dark": ("#0d1117", "#f0f6fc", "#9198a1", "#3d444d"),
}
PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 20px 24px; background: {background}; color: {text}; font: 15px/1.5 sans-serif; }}
h1 {{ font-size: 20px; margin: 0 0 10px; }}
dl {{ margin: 0 0 14px; padding-bottom: 14px; border-bottom: 1px solid {line}; display: grid;
     grid-template-columns: 4em 1fr; color: {muted}; font-size: 14px; }}
dd {{ margin: 0; }}
p {{ margin: 0; white-space: pre-wrap; }}
</style><h1>{subject}</h1><dl>{headers}</dl><p>{body}</p>"""


async def first_mail() -> EmailMessage:
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder), daemon_config(ROOT / "README.md") or "") as running:
            return running.mail.mails[0]


def page(mail: EmailMessage, scheme: str) -> str:
    background, text, muted, line = COLOURS[scheme]
    headers = "".join(
        f"<dt>{name}</dt><dd>{html.escape(presentable(str(mail[name])))}</dd>"
        for name in ("From", "To", "Date")
    )
    return PAGE.format(
        background=background,
        text=text,
        muted=muted,
        line=line,
        subject=html.escape(presentable(str(mail["Subject"]))),
        headers=headers,
        body=html.escape(presentable(mail.get_content())),
    )


def draw(document: str, image: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "mail.html")
        file.write_text(document)
        subprocess.run(
            [
                *(
                    "chromium",
                    "--headless",
                    "--no-sandbox",
                    "--hide-scrollbars",
                    "--force-device-scale-factor=2",
                ),
                *(f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{HEIGHT}"),
                *(f"--screenshot={image}", file.as_uri()),
            ],
            check=True,
            capture_output=True,
        )


if __name__ == "__main__":
    mail = asyncio.run(first_mail())
    for scheme in COLOURS:
        draw(page(mail, scheme), IMAGES / f"notification-{scheme}.png")
