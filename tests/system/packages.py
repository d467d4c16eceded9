"""The packages under test: built in a clean root of each suite, as a user, without a network.

A build is kept under the digest of the files it was made from, so that one change means one build in each suite.
"""

import hashlib
import shutil
from pathlib import Path

from tests.system.bed import CACHE, PROJECT, alone, base_root, command, copy_of, remove, run_in_root

BUILD_WITHIN_S = 900


def names_in(field: str) -> list[str]:
    """The packages that a field of debian/control names."""
    return command(PROJECT / ".ci" / "install", "--names", field).stdout.split()


def source_digest() -> str:
    """Of all files that the package is made from, as they are now."""
    listed = command(
        *("git", "-C", PROJECT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"), "--", PROJECT
    )
    digest = hashlib.sha256()
    for name in sorted(set(listed.stdout.split("\0")) - {""}):
        file = PROJECT / name
        if file.is_file():
            digest.update(f"{name}\0{file.stat().st_mode & 0o111}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def build_root(suite: str) -> Path:
    """A root with what debian/control says that a build needs, and no more."""
    return base_root(suite, "build", names_in("Build-Depends"), variant="buildd")


def built(suite: str, *, with_tests: bool = True) -> Path:
    """A folder with the .deb, .dsc, .changes and build log, built in that suite from the files as they are."""
    kind = "tested" if with_tests else "untested"
    kept = CACHE / "packages" / suite
    done = kept / f"{source_digest()}-{kind}"
    with alone(f"build-{suite}"):
        if not done.exists():
            for outdated in kept.glob("*"):
                shutil.rmtree(outdated)
            build(suite, done, with_tests=with_tests)
    return done


def build(
    suite: str,
    destination: Path,
    *,
    with_tests: bool,
    folder: str = "/build",
    environment: tuple[str, ...] = (),
) -> None:
    """Build in a fresh copy of the root; what comes out lands in the destination."""
    root = copy_of(build_root(suite), CACHE / "run" / suite / f"build-{destination.name}")
    try:
        inside = root / folder.lstrip("/")
        inside.mkdir(parents=True)
        source(inside)
        run_in_root(root, "useradd", "--create-home", "builder")
        run_in_root(root, "chown", "-R", "builder:", folder)
        script = "dpkg-source --extract *.dsc source && cd source && dpkg-buildpackage --no-sign >../build.log 2>&1"
        options = () if with_tests else ("DEB_BUILD_OPTIONS=nocheck",)
        done = run_in_root(
            *(root, "env", *options, *environment, "sh", "-c", script),
            user="builder",
            folder=folder,
            within_s=BUILD_WITHIN_S,
            ok=False,
        )
        log = inside / "build.log"
        assert done.returncode == 0, (log.read_text() if log.exists() else "") + done.stdout + done.stderr
        unfinished = destination.with_name(f"{destination.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for file in [*inside.glob("monitord_*"), log]:
            shutil.copy(file, unfinished)
        unfinished.rename(destination)
    finally:
        remove(root)


def source(destination: Path) -> None:
    """The source package of the files as they are."""
    command(PROJECT / ".ci" / "build-package", "--source-only", destination)


def the_deb(folder: Path) -> Path:
    """The one binary package in a folder."""
    (deb,) = folder.glob("monitord_*_all.deb")
    return deb


def next_version(deb: Path, destination: Path) -> Path:
    """The same package as a later version, for upgrades: the program says so as well."""
    tree = destination / "next"
    command("dpkg-deb", "--raw-extract", deb, tree)
    control = tree / "DEBIAN" / "control"
    version = command("dpkg-deb", "--field", deb, "Version").stdout.strip()
    control.write_text(control.read_text().replace(f"Version: {version}\n", f"Version: {version}+next\n"))
    init = tree / "usr/lib/python3/dist-packages/monitord/__init__.py"
    upstream = version.rpartition("-")[0]
    text = init.read_text()
    assert f'"{upstream}"' in text
    init.write_text(text.replace(f'"{upstream}"', f'"{upstream}.next"'))
    made = destination / f"monitord_{version}+next_all.deb"
    command("dpkg-deb", "--root-owner-group", "--build", tree, made)
    shutil.rmtree(tree)
    return made
