"""The database of the cluster: PostgreSQL through psycopg. No other part of the package knows SQL or psycopg.

`schema` has the tables and their migrations, `connection` connects and reconnects, `database` has the operations.
The statements use ON CONFLICT, FOR UPDATE SKIP LOCKED and transactions. NOTIFY only wakes nodes up.
"""

from monitord.cluster.database.database import ClusterDatabase
from monitord.cluster.database.schema import Initialization, initialize

__all__ = ["ClusterDatabase", "Initialization", "initialize"]
