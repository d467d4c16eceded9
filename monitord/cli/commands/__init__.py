"""The commands of monitorctl, in the order of the help and of the manual page. A file for each topic."""

from monitord.cli.command import Command
from monitord.cli.commands.actions import ACK, CHECK, PAUSE, RESUME, UNACK
from monitord.cli.commands.cluster import CLUSTER
from monitord.cli.commands.complete import COMPLETE
from monitord.cli.commands.daemon import CHECK_CONFIG, PROBE, RELOAD, VERSION, WHAT_IF
from monitord.cli.commands.events import EVENTS
from monitord.cli.commands.explain import EXPLAIN
from monitord.cli.commands.export_page import EXPORT_PAGE
from monitord.cli.commands.heartbeat import HEARTBEAT
from monitord.cli.commands.history import HISTORY
from monitord.cli.commands.import_configuration import IMPORT
from monitord.cli.commands.incidents import INCIDENTS
from monitord.cli.commands.notifications import NOTIFICATIONS, NOTIFIERS, TEST_NOTIFIER
from monitord.cli.commands.posts import DELETE_POST, EDIT_POST, POST, POSTS
from monitord.cli.commands.report import REPORT
from monitord.cli.commands.reports import REPORTS
from monitord.cli.commands.show import LAST, SHOW
from monitord.cli.commands.silences import SILENCE, SILENCES, UNSILENCE
from monitord.cli.commands.status import STATUS
from monitord.cli.commands.top import TOP

COMMANDS: tuple[Command, ...] = (
    STATUS,
    SHOW,
    LAST,
    HISTORY,
    INCIDENTS,
    REPORT,
    EXPLAIN,
    EVENTS,
    TOP,
    CHECK,
    PROBE,
    PAUSE,
    RESUME,
    ACK,
    UNACK,
    SILENCE,
    SILENCES,
    UNSILENCE,
    POST,
    POSTS,
    EDIT_POST,
    DELETE_POST,
    NOTIFICATIONS,
    NOTIFIERS,
    TEST_NOTIFIER,
    REPORTS,
    EXPORT_PAGE,
    HEARTBEAT,
    CLUSTER,
    RELOAD,
    CHECK_CONFIG,
    WHAT_IF,
    IMPORT,
    VERSION,
    COMPLETE,
)
