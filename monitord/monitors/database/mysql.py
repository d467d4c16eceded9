"""Monitor type `mysql`: version, connections and replication of MySQL and MariaDB, and the value of a query.

    type = "mysql"
    address = "db.example.org"
    user = "monitor"
    password = { credential = "database" }
    query = "SELECT count(*) FROM shop.orders WHERE NOT shipped"
    degraded_when = ["value > 1000"]

Without conditions, a check passes if the server responds to the query and, on a replica, replication is running.
"""

from typing import ClassVar

from monitord.config import Table
from monitord.monitors.database.common import DatabaseOptions
from monitord.monitors.database.sql import SqlMonitor, read_sql_options
from monitord.net.database.sql import SqlServer
from monitord.net.stream.client import StreamTarget

PORT = 3306


class MysqlMonitor(SqlMonitor):
    type_name: ClassVar[str] = "mysql"
    server: ClassVar[SqlServer] = SqlServer.MYSQL

    @classmethod
    def read_options(cls, table: Table) -> DatabaseOptions:
        if problem := cls.server.library_problem():
            table.ignore_others()
            table.error("type", f'"mysql" needs PyMySQL: {problem}', "install the package python3-pymysql")
            return DatabaseOptions(StreamTarget("localhost", PORT))
        return read_sql_options(table, default_port=PORT, default_database="")
