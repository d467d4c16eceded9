"""Log events that the journal catalog explains, with their message IDs.

The texts are in systemd/monitord.catalog. They contain the fields named here as @FIELD@, so each entry of an event must
have all of its fields. The meaning of an ID never changes. Entries that need no explanation, such as those of ordinary
checks, have no event.
"""

from enum import Enum

_TRANSITION = ("MONITOR", "MONITOR_STATE", "MONITOR_REASON")
_NODE = ("CLUSTER_NODE", "CLUSTER_LOCATION")
_POST = ("POST", "PAGE", "POST_STATUS", "REQUESTED_BY")


class JournalEvent(Enum):
    """`JournalEvent.CHECK_SKIPPED.message_id`; for a transition, `JournalEvent[f"MONITOR_{health.name}"]`."""

    CHECK_SKIPPED = ("4dd7086eaf1b4ef0863c2dc2156dc5b3", ("MONITOR",))

    MONITOR_PENDING = ("bc94af91160a4d7986735bddf9b9b462", _TRANSITION)
    MONITOR_UP = ("28069461097e40449c1b8190f5bd980a", _TRANSITION)
    MONITOR_DEGRADED = ("3cfdd675f29f4ada8c0d2e88facad43a", _TRANSITION)
    MONITOR_DOWN = ("84c306941edd4f5aa1f34634cf50e0e9", _TRANSITION)
    MONITOR_UNREACHABLE = ("d3d92f01d04e4f5f8ceeb5c9cf263904", _TRANSITION)
    MONITOR_UNKNOWN = ("319a5b7fba594780ab0e31440c3c41d0", _TRANSITION)
    MONITOR_PAUSED = ("0f3cdddb45b2472b968378d9918a522f", _TRANSITION)
    FLAPPING_BEGINS = ("004832d91f774a269a22bad4af9e7a90", ("MONITOR",))
    FLAPPING_ENDS = ("e5112a27f4084eee920bcc735873b02a", ("MONITOR", "MONITOR_STATE"))
    MAINTENANCE_BEGINS = ("f66bf902957c4c4f80f601285ff1e157", ("MONITOR", "MONITOR_STATE"))
    MAINTENANCE_ENDS = ("5bef5e10281e4480a4330f80868de8e9", ("MONITOR", "MONITOR_STATE"))
    ISOLATION_BEGINS = ("e2da543cbdbb40e6b3d3d57668a1fdcf", ())
    ISOLATION_ENDS = ("056552c3bc4243dba46857efebbd4a8d", ())
    MONITOR_BUG = ("1c7987bbc0f74294bb6fb913e6140ba3", ("MONITOR",))

    NOTIFICATION_SENT = ("83fb4e101bac44828bb1884aef5392f7", ("NOTIFIER", "NOTIFIER_TYPE"))
    NOTIFICATION_EXPIRED = ("b7c9232c649b49f895fbfb0860b1d2f8", ("NOTIFIER", "NOTIFIER_TYPE"))
    NOTIFIER_FAILED = ("fd4d0b0a4e0d4b9ab491eff176df8824", ("NOTIFIER", "NOTIFIER_TYPE"))
    NOTIFIER_WARNING = ("db0993d698a1413b9d7d61c4b93fb159", ("NOTIFIER", "NOTIFIER_TYPE"))
    NOTIFIER_RECOVERED = ("dd0f6658c99e4a0f83d61116b7326726", ("NOTIFIER", "NOTIFIER_TYPE"))

    POST_CREATED = ("0f68ba7ab3ac43b3a7856a982a801e47", _POST)
    POST_UPDATED = ("7163cdb5e9da46be97a237c3c79eecdf", _POST)
    POST_EDITED = ("ae278f4d593e4ed98e35f0576815a202", _POST)
    POST_DELETED = ("926c4bd494e7443ab0b256900843e1ce", _POST)

    READY = ("bfc3ea43b439441982a4fea7647a5738", ())
    START_REJECTED = ("341a8d82d74c49438718e91e01d2da60", ())
    START_FAILED = ("235f218263a447f7b88a6db003db76f2", ())
    RELOAD_APPLIED = ("8b987894f0ad4ae2809c591334d35613", ())
    RELOAD_REJECTED = ("2c5828c13c7242ee93553b534098884c", ())
    STOPPING = ("0077fb0f978e4d6bab82e09140164375", ())

    TOKEN_REJECTED = ("0d44335781794c20a62ea2fbfe4b3f79", ("CLIENT_ADDRESS",))

    CLUSTER_DATABASE_LOST = ("8eaee5cc6afe4624bdf59d09b68de096", ())
    CLUSTER_DATABASE_REGAINED = ("988bd17634ec430999306301b9e4e2d7", ())
    CLUSTER_ALONE_BEGINS = ("b709d2ba5fd445c9a81e124937733d96", ())
    CLUSTER_ALONE_ENDS = ("f2668b74eaf54919bf515ebffc922615", ())
    CLUSTER_NODE_LOST = ("aec06f561efe4307a8228b543886d32b", _NODE)
    CLUSTER_NODE_JOINED = ("365bb31555be459daaf6c9f3a7603215", _NODE)

    HISTORY_RESET = ("ff32dead7daa40f0ba1a47012842c5cb", ("HISTORY_PATH",))

    LOG_RATE_EXCEEDED = ("3f5df63f4ab9470ea855cfb5e4b6275b", ())
    LOG_MESSAGES_LOST = ("55c0821b36e942b4a6ddadbd9cee54c9", ("LOG_MESSAGES_LOST",))
    WATCHDOG_STALL_BEGINS = ("272f5c9205ec4e6cbad1e6a32e6ffcb2", ("WATCHDOG_COMPONENT", "WATCHDOG_STALL"))
    WATCHDOG_STALL_ENDS = ("e659e4eaeb6c4d8d914c52021a1c4e4a", ("WATCHDOG_COMPONENT",))

    def __init__(self, message_id: str, fields: tuple[str, ...]) -> None:
        self.message_id = message_id
        self.fields = fields
