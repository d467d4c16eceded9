"""With whose eyes a configuration is checked: with those of the unit's user, where root asks for what a unit reads.

Root may read everything, so what is good for root may still be refused when the service starts.
"""

import grp
import os
import pwd
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monitord import paths
from monitord.config import Reader

ANSWER_TIMEOUT_S = 5.0

AS_SHIPPED = {"User": "monitord", "Group": "monitord", "SupplementaryGroups": "systemd-journal"}
"""What systemd/monitord.service says, for where no manager runs yet, as in an image that is built."""


@dataclass(frozen=True, slots=True)
class Account:
    """What the service manager gives to a process of the unit."""

    uid: int
    gid: int
    groups: frozenset[int]


def see_as_service(config: Path) -> Reader:
    """Become the user of the unit that reads this file, if there is one and we are root. There is no way back."""
    unit = unit_reading(config)
    account = None if unit is None else account_by(properties_of(unit))
    if account is None:
        return Reader.OUTSIDER
    if os.geteuid() == 0 and account.uid != 0:
        try:
            become(account)
        except PermissionError:  # root without the capabilities of root
            return Reader.OUTSIDER
    return Reader.STAND_IN if os.geteuid() == account.uid else Reader.OUTSIDER


def unit_reading(config: Path) -> str | None:
    """By the names that the units have in their ExecStart=; a file elsewhere may be for anybody."""
    absolute = Path(os.path.abspath(config))  # noqa: PTH100 - links stay as they are
    if absolute == paths.CONFIG:
        return "monitord.service"
    if absolute.parent == paths.FURTHER_CONFIGS and absolute.suffix == ".toml":
        return f"monitord@{absolute.stem}.service"
    return None


def properties_of(unit: str) -> Mapping[str, str]:
    """With its drop-ins, as the manager has them."""
    words = ["systemctl", "show", "--property=LoadState,User,Group,SupplementaryGroups", unit]
    try:
        output = subprocess.run(  # noqa: S603 - no shell; the manager knows odd names as well
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_TIMEOUT_S,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return AS_SHIPPED
    properties = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    return properties if properties.get("LoadState") == "loaded" else AS_SHIPPED


def account_by(properties: Mapping[str, str]) -> Account | None:
    """None where the user or a group does not exist (yet): then it cannot be known what they may read."""
    try:
        user = _user(properties.get("User") or "root")
        group = properties.get("Group")
        gid = _gid(group) if group else user.pw_gid
        # systemd gives the groups that the user is a member of as well, but to root.
        own = os.getgrouplist(user.pw_name, gid) if user.pw_uid else [gid]
        further = [_gid(name) for name in properties.get("SupplementaryGroups", "").split()]
    except KeyError:
        return None
    return Account(user.pw_uid, gid, frozenset([*own, *further]))


def become(account: Account) -> None:
    """For good: real, effective and saved ids."""
    os.setgroups(sorted(account.groups))
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)


def _user(name: str) -> pwd.struct_passwd:
    return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)


def _gid(name: str) -> int:
    return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
