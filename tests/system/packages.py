"""Build the packages under test in a clean root of each suite, as an unprivileged user, without network.

The source is prepared once for each run, so that all builds of a run have the same files. A build is stored under the
digest of its source.
"""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.system.bed import CACHE, PROJECT, alone, base_root, command, copy_of, remove, run_in_root

BUILD_WITHIN_S = 2000
NO_ADDITIONS: Mapping[str, str] = MappingProxyType({})


def names_in(field: str) -> list[str]:
    """List the packages in a field of debian/control."""
    return command(PROJECT / ".ci" / "install", "--names", field).stdout.split()


def prepare_source() -> Path:
    """Make the source package of the current files, in a directory named after its digest."""
    with alone("source"):
        unfinished = CACHE / "source" / "unfinished"
        remove(unfinished)
        unfinished.mkdir(parents=True)
        command(PROJECT / ".ci" / "build-package", "--source-only", unfinished)
        digest = hashlib.sha256()
        for tarball in sorted(unfinished.glob("*.tar.*")):
            digest.update(tarball.read_bytes())
        prepared = unfinished.with_name(digest.hexdigest()[:16])
        remove(prepared)
        unfinished.rename(prepared)
    return prepared


def build_root(suite: str) -> Path:
    """Return a root with exactly the build dependencies in debian/control."""
    return base_root(suite, "build", names_in("Build-Depends"), variant="buildd")


def built(source: Path, suite: str, *, with_tests: bool = True) -> Path:
    """Return the directory with the .deb, .dsc, .changes and build log of a source; build it if necessary."""
    kind = "tested" if with_tests else "untested"
    done = CACHE / "packages" / suite / f"{source.name}-{kind}"
    failed = source / f"{suite}-{kind}.failed"
    with alone(f"build-{suite}-{kind}"):
        # A failed build is not repeated in the same run.
        assert not failed.exists(), f"does not build: {failed.read_text()}"
        if not done.exists():
            try:
                build(source, suite, done, with_tests=with_tests)
            except AssertionError:
                failed.write_text(f"see the first test that wanted {source.name} {kind} in {suite}\n")
                raise
    return done


def build(
    source: Path,
    suite: str,
    destination: Path,
    *,
    with_tests: bool,
    folder: str = "/build",
    environment: tuple[str, ...] = (),
) -> None:
    """Build in a new copy of the root, and copy the result to the destination."""
    root = copy_of(build_root(suite), CACHE / "run" / suite / f"build-{destination.name}")
    try:
        inside = root / folder.lstrip("/")
        shutil.copytree(source, inside, ignore=shutil.ignore_patterns("*.failed"))
        run_in_root(root, "useradd", "--create-home", "builder")
        run_in_root(root, "chown", "-R", "builder:", folder)
        script = "dpkg-source --extract *.dsc source && cd source && dpkg-buildpackage --no-sign >../build.log 2>&1"
        if not with_tests:
            environment = (*environment, "DEB_BUILD_OPTIONS=nocheck")
        elif suite == "bookworm":
            # `make test` has run all tests with these libraries.
            environment = (*environment, "PYTEST_ADDOPTS=-m 'not slow'")
        done = run_in_root(
            root,
            *("env", *environment, "sh", "-c", script),
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


def the_deb(folder: Path) -> Path:
    """Return the binary package in a directory."""
    (deb,) = folder.glob("monitord_*_all.deb")
    return deb


def next_version(deb: Path, destination: Path, additions: Mapping[str, str] = NO_ADDITIONS) -> Path:
    """Make the same package with a later version, for upgrades; the program reports that version.

    `additions`: text to append to modules, by their path below the package `monitord`.
    """
    tree = destination / "next"
    command("dpkg-deb", "--raw-extract", deb, tree)
    control = tree / "DEBIAN" / "control"
    version = command("dpkg-deb", "--field", deb, "Version").stdout.strip()
    control.write_text(control.read_text().replace(f"Version: {version}\n", f"Version: {version}+next\n"))
    program = tree / "usr/lib/python3/dist-packages/monitord"
    for name, text in additions.items():
        with (program / name).open("a") as module:
            module.write(text)
    init = program / "__init__.py"
    upstream = version.rpartition("-")[0]
    text = init.read_text()
    assert f'"{upstream}"' in text
    init.write_text(text.replace(f'"{upstream}"', f'"{upstream}.next"'))
    made = destination / f"monitord_{version}+next_all.deb"
    command("dpkg-deb", "--root-owner-group", "--build", tree, made)
    shutil.rmtree(tree)
    return made
