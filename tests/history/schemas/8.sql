-- A database of version 8, with a row or more in each table. It never changes.
PRAGMA application_id = 1836019300;
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE monitors (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, rolled_up_until INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE reasons (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE results (
    monitor INTEGER NOT NULL, at INTEGER NOT NULL, duration INTEGER NOT NULL, outcome INTEGER NOT NULL,
    reason INTEGER NOT NULL, phases BLOB, detail TEXT,
    PRIMARY KEY (monitor, at)
) WITHOUT ROWID;
CREATE TABLE rollups (
    level INTEGER NOT NULL, monitor INTEGER NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (level, monitor, at)
) WITHOUT ROWID;
CREATE TABLE spans (
    monitor INTEGER NOT NULL, start INTEGER NOT NULL, until INTEGER, state INTEGER NOT NULL,
    PRIMARY KEY (monitor, start)
) WITHOUT ROWID;
CREATE INDEX spans_open ON spans (monitor) WHERE until IS NULL;
CREATE TABLE transitions (
    monitor INTEGER NOT NULL, at INTEGER NOT NULL, before INTEGER NOT NULL, after INTEGER NOT NULL,
    since INTEGER NOT NULL, reason INTEGER NOT NULL, detail TEXT NOT NULL,
    PRIMARY KEY (monitor, at, after)
) WITHOUT ROWID;
CREATE TABLE incidents (
    id TEXT PRIMARY KEY, monitor INTEGER NOT NULL, opened INTEGER NOT NULL, closed INTEGER, reason INTEGER NOT NULL,
    detail TEXT NOT NULL, acknowledged_by TEXT, acknowledged INTEGER, comment TEXT
);
CREATE INDEX incidents_by_monitor ON incidents (monitor, opened);
CREATE INDEX incidents_by_time ON incidents (opened);
CREATE INDEX incidents_open ON incidents (opened) WHERE closed IS NULL;
CREATE TABLE states (monitor TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE "daemon_states" (key TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE records (
    monitor INTEGER NOT NULL, is_failure INTEGER NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (monitor, is_failure, at)
) WITHOUT ROWID;
INSERT INTO meta VALUES ('seen', 1772618460000);
INSERT INTO monitors VALUES (1, 'a', 1772618400000);
INSERT INTO reasons VALUES (1, 'ok'), (2, 'refused');
INSERT INTO results VALUES
    (1, 1772618340000, 125000, 36, 1, X'a01f0000000000', NULL),
    (1, 1772618400000, 250000, 36, 1, NULL, NULL),
    (1, 1772618430000, 1000, 14, 2, NULL, 'no answer');
-- One result that passed in 0.125 s: verdicts, timed, smallest, largest, sum, phased, phases, histogram.
INSERT INTO rollups
    SELECT level.column1, 1, 1772618340000 / (1000 * level.column1) * (1000 * level.column1),
        X'0100000001c8d007c8d007c8d00701a01f00000000a60201'
    FROM (VALUES (60), (3600), (86400)) AS level;
INSERT INTO spans VALUES (1, 1772618340000, 1772618430000, 1), (1, 1772618430000, NULL, 3);
INSERT INTO transitions VALUES (1, 1772618430000, 1, 3, 1772618430000, 2, 'no answer');
INSERT INTO incidents VALUES ('i1', 1, 1772618430000, NULL, 2, 'no answer', 'root', 1772618440000, 'seen');
INSERT INTO states VALUES ('a', '{"health":"down"}');
INSERT INTO daemon_states VALUES ('pauses', '{"b":"root"}');
PRAGMA user_version = 8;
