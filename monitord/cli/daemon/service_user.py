"""The user as which a configuration is checked: if root checks the configuration of a unit, the user of the unit.

Root can read all files, so a configuration that is valid for root may still be rejected when the service starts.
"""

import grp
import os
import pwd
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monitord import paths
from monitord.config import ConfigAccess

SYSTEMCTL_TIMEOUT_S = 5.0

AS_SHIPPED = {"User": "monitord", "Group": "monitord", "SupplementaryGroups": "systemd-journal"}
"""The settings of systemd/monitord.service, used if no service manager runs, such as while an image is built."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user and groups of the processes of a unit."""

    uid: int
    gid: int
    groups: frozenset[int]


def drop_privileges_to_service_user(config: Path) -> ConfigAccess:
    """Switch to the unit's user if root, and return which permissions the check has. This cannot be undone."""
    unit = unit_of_config(config)
    account = None if unit is None else account_from_properties(unit_properties(unit))
    if account is None:
        return ConfigAccess.OTHER_USER
    if os.geteuid() == 0 and account.uid != 0:
        try:
            switch_to(account)
        except PermissionError:  # root without its capabilities
            return ConfigAccess.OTHER_USER
    return ConfigAccess.SERVICE_USER if os.geteuid() == account.uid else ConfigAccess.OTHER_USER


def unit_of_config(config: Path) -> str | None:
    """Return the unit that has this file in its ExecStart=; None for other files."""
    absolute = Path(os.path.abspath(config))  # noqa: PTH100 - symbolic links are not resolved
    if absolute == paths.CONFIG:
        return "monitord.service"
    if absolute.parent == paths.FURTHER_CONFIGS and absolute.suffix == ".toml":
        return f"monitord@{absolute.stem}.service"
    return None


def unit_properties(unit: str) -> Mapping[str, str]:
    """Return the properties that the service manager has loaded, including drop-ins."""
    words = ["systemctl", "show", "--property=LoadState,User,Group,SupplementaryGroups", unit]
    try:
        output = subprocess.run(  # noqa: S603 - no shell, and systemctl checks the name
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SYSTEMCTL_TIMEOUT_S,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return AS_SHIPPED
    properties = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    return properties if properties.get("LoadState") == "loaded" else AS_SHIPPED


def account_from_properties(properties: Mapping[str, str]) -> Account | None:
    """Return the account of these unit properties; None if the user or a group does not exist (yet)."""
    try:
        name = properties.get("User") or "root"
        user = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
        group = properties.get("Group")
        gid = _gid(group) if group else user.pw_gid
        # systemd adds the groups of which the user is a member, except for root.
        groups = os.getgrouplist(user.pw_name, gid) if user.pw_uid else [gid]
        further = [_gid(name) for name in properties.get("SupplementaryGroups", "").split()]
    except KeyError:
        return None
    return Account(user.pw_uid, gid, frozenset([*groups, *further]))


def switch_to(account: Account) -> None:
    """Set the groups, the real, effective and saved ids, and HOME of this process, as in the unit (systemd.exec(5))."""
    # libpq rejects a connection with TLS if it cannot read ~/.postgresql.
    os.environ["HOME"] = pwd.getpwuid(account.uid).pw_dir
    os.setgroups(sorted(account.groups))
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)


def _gid(name: str) -> int:
    return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
