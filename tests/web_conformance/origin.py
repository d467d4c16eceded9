"""The origin of the cases: the required behaviour of each route of a server under test.

    GET  /              200 "root\\n"
    GET  /plain         200 text/plain, "plain\\n"
    GET  /json          200 application/json
    GET, POST /target   200 text/plain, lines method=, path= (decoded), query= (as sent), host= (of the target URI)
    GET  /field         200 the value of X-Test between brackets
    GET  /items/{name}  200 the decoded name, in UTF-8
    POST /echo          200 the content of the request; at most CONTENT_LIMIT_BYTES
    POST /unread        200 "unread\\n"; the handler reads nothing
    GET  /file          200 FILE_CONTENT from a file last modified at FILE_MODIFIED, with entity tag and ranges
    GET  /nothing       204
    GET  /reset         205
    GET  /unmodified    304, of its own accord, with the entity tag "fixed"
    GET  /stream        200 "one\\n", "two\\n", "three\\n", written one after another, length unknown
    GET  /slow          200 "slow\\n" after SLOW_S
    GET  /redirect      302 to /plain
    GET  /boom          a handler that raises
    GET  /boom-late     a handler that raises after it has streamed "one\\n"

All of them answer HEAD where they answer GET. A second server of the same kind, the hasty one, has every deadline
(head, content, idle connection) at HASTY_DEADLINE_S.
"""

import os
from pathlib import Path

CONTENT_LIMIT_BYTES = 1024 * 1024
FILE_CONTENT = bytes(range(48, 112))
FILE_MODIFIED = 1704164645  # Tue, 02 Jan 2024 03:04:05 GMT
SLOW_S = 0.15
HASTY_DEADLINE_S = 0.5


def write_file(directory: Path) -> Path:
    """Create the file of /file; servers of directories find it as `file`."""
    path = directory / "file"
    path.write_bytes(FILE_CONTENT)
    os.utime(path, (FILE_MODIFIED, FILE_MODIFIED))
    return path
