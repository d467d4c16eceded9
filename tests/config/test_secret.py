import copy
import os
import pickle
from pathlib import Path

import pytest

from monitord.config.access import ConfigAccess
from monitord.config.secret import MAX_SECRET_BYTES, Secret, SecretSources


def test_secret_is_visible_only_through_reveal() -> None:
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    shown = [repr(secret), str(secret), f"{secret}", "%s %r" % (secret, secret), repr({"a": [secret]})]  # noqa: UP031
    assert shown == ["Secret('***')"] * 3 + ["Secret('***') Secret('***')", "{'a': [Secret('***')]}"]


def test_secrets_are_equal_if_their_texts_are_equal() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_secret_can_be_copied_but_not_pickled() -> None:
    secret = Secret("hunter2")
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret
    with pytest.raises(TypeError, match="clear text"):
        pickle.dumps(secret)


def test_empty_secret_is_false() -> None:
    assert not Secret("")
    assert Secret("a")


@pytest.fixture
def sources(tmp_path: Path) -> SecretSources:
    (tmp_path / "token").write_text("from credential\n")
    (tmp_path / "pair").write_text("first\nsecond\r\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff")
    (tmp_path / "large").write_bytes(b"x" * (MAX_SECRET_BYTES + 1))
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    return SecretSources({"CREDENTIALS_DIRECTORY": str(tmp_path), "TOKEN": "from environment", "NONE": ""})


def test_secret_is_read_from_each_source(sources: SecretSources, tmp_path: Path) -> None:
    assert sources.secret("plain").reveal() == "plain"
    assert sources.secret({"env": "TOKEN"}).reveal() == "from environment"
    assert sources.secret({"credential": "token"}).reveal() == "from credential"
    assert sources.secret({"file": str(tmp_path / "token")}).reveal() == "from credential"
    assert sources.secret({"file": str(tmp_path / "pair")}).reveal() == "first\nsecond"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none", "does not exist"),
        ("empty", "is empty"),
        ("binary", "is not UTF-8 text"),
        ("large", "is larger than 64 KiB"),
        ("folder", r"cannot be read \(Is a directory\)"),
        ("fifo", r"cannot be read \(Not a regular file\)"),
    ],
)
def test_unavailable_secret_is_rejected(
    sources: SecretSources, tmp_path: Path, name: str, problem: str
) -> None:
    with pytest.raises(
        ValueError, match=f"^the credential {name} {problem}; pass it to the service: LoadCredential={name}:"
    ):
        sources.secret({"credential": name})
    with pytest.raises(
        ValueError,
        match=f"^the file {tmp_path}/{name} {problem}; write the path of a text file that the daemon's user can read",
    ):
        sources.secret({"file": str(tmp_path / name)})


@pytest.mark.parametrize("name", ["NONE", "NOT_SET"])
def test_unset_or_empty_environment_variable_is_rejected(sources: SecretSources, name: str) -> None:
    with pytest.raises(ValueError, match=f"^the environment variable {name} is not set or is empty; set it"):
        sources.secret({"env": name})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_secret_is_rejected(sources: SecretSources, tmp_path: Path) -> None:
    (tmp_path / "token").chmod(0)
    with pytest.raises(ValueError, match=r"^the credential token cannot be read \(Permission denied\); "):
        sources.secret({"credential": "token"})


def test_other_user_checks_only_the_form_of_a_secret() -> None:
    sources = SecretSources({}, ConfigAccess.OTHER_USER)
    for value in ({"credential": "token"}, {"file": "/nonexistent"}, {"env": "NOT_SET"}):
        assert sources.secret(value) == Secret("")
    for malformed in ({"credential": "../token"}, {"file": "relative"}, {"env": ""}, {"enw": "A"}, {}, 3):
        with pytest.raises(ValueError, match="; "):
            sources.secret(malformed)


@pytest.mark.parametrize("source", ["credential", "file"])
def test_error_of_a_secret_shows_no_control_characters(sources: SecretSources, source: str) -> None:
    name = "/\x1b[2J" if source == "file" else "\x1b[2J"
    for secrets in (sources, SecretSources({})):
        with pytest.raises(ValueError, match="does not exist") as caught:
            secrets.secret({source: name})
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param("caf\udce9", "is not UTF-8 text; write it in UTF-8", id="argument"),
        pytest.param(
            {"env": "TOKEN"}, "the environment variable TOKEN is not UTF-8 text; set it in UTF-8", id="env"
        ),
    ],
)
def test_secret_that_is_not_utf8_is_rejected_without_its_value(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}$"):
        SecretSources({"TOKEN": "caf\udce9"}).secret(value)
