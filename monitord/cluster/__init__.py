"""Several daemons as one monitor: votes of locations, decisions by quorum, and notifications through PostgreSQL.

Only a daemon with a section [cluster] imports it. The pure parts know no SQL, and the SQL is in `database`.
"""
