"""The statements of `ClusterDatabase`. `now()` is the time of the transaction, by the clock of the database."""

from monitord.cluster.model import CONCLUSIVE, LIVE_S

CHANNEL = "monitord"

_STATES = ", ".join(sorted(f"'{state.value}'" for state in CONCLUSIVE))
# A time in the future was stored before the clock of the database was set back. It is not valid for longer.
_RECENT = f"seen_at BETWEEN now() - interval '{LIVE_S} seconds' AND now() + interval '{LIVE_S} seconds'"
_LIVE = f"is_ready AND {_RECENT}"

HAS_LIVE_NODE = f"SELECT EXISTS (SELECT 1 FROM node WHERE role = 'node' AND {_LIVE})"

# Another daemon with the name of this node holds the name. A heartbeat claims it.
_HAS_NAME = "NOT EXISTS (SELECT 1 FROM node WHERE name = %(node)s AND run <> %(run)s)"

IS_FRESH = f"SELECT count(*), clock_timestamp() FROM node WHERE name = %(node)s AND {_RECENT}"

_SEEN = f"(node.run = excluded.run AND node.{_RECENT})"

# A live node keeps its name. `absent_from`: until `back_at`, its process did not run or did not reach the database.
BEAT = f"""
INSERT INTO node (name, location, is_ready, version, configuration, lateness_s, checked_monitors, time_offset_s, run,
                  seen_at, role, shares_checks, number, decision_lag_s, is_isolated)
VALUES (%(name)s, %(location)s, %(is_ready)s, %(version)s, %(configuration)s, %(lateness_s)s, %(checked_monitors)s,
        %(time_offset_s)s, %(run)s, now(), %(role)s, %(shares_checks)s, 0, %(decision_lag_s)s, %(is_isolated)s)
ON CONFLICT (name) DO UPDATE SET
    location = excluded.location, is_ready = excluded.is_ready, version = excluded.version,
    configuration = excluded.configuration, lateness_s = excluded.lateness_s,
    checked_monitors = excluded.checked_monitors, time_offset_s = excluded.time_offset_s, run = excluded.run,
    seen_at = excluded.seen_at, role = excluded.role, shares_checks = excluded.shares_checks,
    number = excluded.number, decision_lag_s = excluded.decision_lag_s, is_isolated = excluded.is_isolated,
    absent_from = CASE WHEN {_SEEN} THEN node.absent_from ELSE node.seen_at END,
    back_at = CASE WHEN {_SEEN} THEN node.back_at ELSE excluded.seen_at END
WHERE node.run = excluded.run OR NOT (node.{_LIVE.replace("seen_at", "node.seen_at")})
"""

# In one order, so that two hubs never wait for each other.
LOCK_NODES = f"""
SELECT name, run, number, {_LIVE}, {_RECENT}, location
FROM node WHERE name = ANY (%(name)s::text[]) ORDER BY name FOR UPDATE
"""

_IS_PART = "(excluded.name = ANY (%(parts)s::text[]) AND node.run = excluded.run)"

# A part of a report is not a heartbeat: until the rest has arrived, a live node keeps its heartbeat. The condition
# is for rows that another hub has inserted after LOCK_NODES. The first part of another run has set `absent_from`.
REPORT = f"""
INSERT INTO node (name, location, is_ready, version, configuration, lateness_s, checked_monitors, time_offset_s, run,
                  seen_at, role, shares_checks, number, is_isolated)
SELECT name, location, is_ready AND is_complete, version, configuration, lateness_s, checked_monitors, time_offset_s,
       run, CASE WHEN is_complete THEN now() ELSE 'epoch' END, role, shares_checks, number,
       is_isolated
FROM unnest(%(name)s::text[], %(location)s::text[], %(is_ready)s::boolean[], %(version)s::text[],
            %(configuration)s::text[], %(lateness_s)s::double precision[], %(checked_monitors)s::integer[],
            %(time_offset_s)s::double precision[], %(runs)s::text[], %(role)s::text[], %(shares_checks)s::boolean[],
            %(numbers)s::bigint[], %(is_isolated)s::boolean[], %(is_complete)s::boolean[])
     AS given (name, location, is_ready, version, configuration, lateness_s, checked_monitors, time_offset_s, run, role,
               shares_checks, number, is_isolated, is_complete)
ORDER BY name
ON CONFLICT (name) DO UPDATE SET
    location = excluded.location, version = excluded.version, configuration = excluded.configuration,
    lateness_s = excluded.lateness_s, checked_monitors = excluded.checked_monitors,
    time_offset_s = excluded.time_offset_s, run = excluded.run, role = excluded.role,
    shares_checks = excluded.shares_checks, number = excluded.number, is_isolated = excluded.is_isolated,
    is_ready = CASE WHEN {_IS_PART} THEN node.is_ready ELSE excluded.is_ready END,
    seen_at = CASE WHEN {_IS_PART} THEN node.seen_at ELSE excluded.seen_at END,
    absent_from = CASE WHEN {_SEEN} OR {_IS_PART} OR node.seen_at = 'epoch' THEN node.absent_from
                       ELSE node.seen_at END,
    back_at = CASE WHEN {_SEEN} OR {_IS_PART} THEN node.back_at ELSE now() END
WHERE CASE WHEN node.run = excluded.run THEN node.number < excluded.number
           ELSE NOT (node.{_LIVE.replace("seen_at", "node.seen_at")}) END
RETURNING name
"""

NODES = """
SELECT name, location, is_ready, version, configuration, lateness_s, checked_monitors,
       extract(epoch FROM now() - seen_at)::double precision, time_offset_s, role, shares_checks,
       decision_lag_s, is_isolated,
       extract(epoch FROM now() - absent_from)::double precision, extract(epoch FROM now() - back_at)::double precision
FROM node ORDER BY name
"""

WRITE_CONFIGURATION = f"""
INSERT INTO configuration (node, digest, sections)
SELECT %(node)s, %(digest)s, %(sections)s WHERE {_HAS_NAME}
ON CONFLICT (node) DO UPDATE SET digest = excluded.digest, sections = excluded.sections
"""

# Those of nodes whose heartbeat has another digest are not known yet. Agents may have a part of the monitors.
_KNOWN_CONFIGURATION = f"""
    SELECT configuration.node, configuration.sections
    FROM configuration JOIN node ON node.name = configuration.node AND node.configuration = configuration.digest
    WHERE role = 'node' AND {_RECENT}
"""

DIFFERENCES = f"""
WITH known AS ({_KNOWN_CONFIGURATION}),
own AS (SELECT sections FROM known WHERE node = %(node)s),
difference AS (
    SELECT known.node, section.key, section.own, section.other,
           row_number() OVER (PARTITION BY known.node ORDER BY section.key) AS number,
           count(*) OVER (PARTITION BY known.node) AS total
    FROM own CROSS JOIN known CROSS JOIN LATERAL (
        SELECT key, mine.value AS own, theirs.value AS other
        FROM jsonb_each_text(own.sections) AS mine
             FULL JOIN jsonb_each_text(known.sections) AS theirs USING (key)
        WHERE mine.value IS DISTINCT FROM theirs.value
    ) AS section
)
SELECT node, key, own IS NOT NULL, other IS NOT NULL, total FROM difference
WHERE number <= %(limit)s ORDER BY node, key
"""

# No row: the sections of a live node are not known, so that it may have any of them.
CONFIGURED = f"""
WITH known AS ({_KNOWN_CONFIGURATION})
SELECT ARRAY(SELECT DISTINCT key FROM known, jsonb_object_keys(sections) AS key WHERE key = ANY (%(keys)s::text[]))
WHERE NOT EXISTS (SELECT 1 FROM node WHERE role = 'node' AND {_RECENT} AND name NOT IN (SELECT node FROM known))
"""

PUBLISH_MONITORS = f"""
INSERT INTO node_shard (node, shard, monitors, changed_at)
SELECT %(node)s, shard, monitors, now()
FROM unnest(%(shards)s::integer[], %(monitors)s::jsonb[]) AS published (shard, monitors)
WHERE {_HAS_NAME}
ON CONFLICT (node, shard) DO UPDATE SET monitors = excluded.monitors, changed_at = excluded.changed_at
WHERE node_shard.monitors IS DISTINCT FROM excluded.monitors
"""

# Each monitor has a decision from its first vote on, so that no statement searches for monitors without one.
EXPECT_DECISIONS = """
INSERT INTO decision (monitor, shard, state, since, reason, detail, version, changed_at)
SELECT monitor, shard, 'pending', now(), 'ok', '', 0, now()
FROM unnest(%(monitors)s::text[], %(shards)s::integer[]) AS voted (monitor, shard)
ON CONFLICT (monitor) DO NOTHING
"""

COMPARABLE_OFFSET_S = 1
"""The times of two checks are compared unless the clock of a node differs more from that of the database."""

# A node that was stopped for a while may have queued votes that are older than those of the node that has taken over,
# and a node that has just been started checks all monitors, until it is ready.
VOTE = f"""
INSERT INTO vote (monitor, location, state, since, reason, detail, excerpt, node, checked_at, shard, changed_at)
SELECT *, now()
FROM unnest(%(monitors)s::text[], %(locations)s::text[], %(states)s::text[], %(since)s::timestamptz[],
            %(reasons)s::text[], %(details)s::text[], %(excerpts)s::text[], %(nodes)s::text[],
            %(checked_at)s::timestamptz[], %(shards)s::integer[]) AS voted
ON CONFLICT (monitor, location) DO UPDATE SET
    state = excluded.state, since = excluded.since, reason = excluded.reason, detail = excluded.detail,
    excerpt = excluded.excerpt, node = excluded.node, checked_at = excluded.checked_at, changed_at = excluded.changed_at
WHERE (vote.state, vote.since, vote.reason, vote.detail, vote.excerpt, vote.node) IS DISTINCT FROM
      (excluded.state, excluded.since, excluded.reason, excluded.detail, excluded.excerpt, excluded.node)
  AND (vote.node = excluded.node
       OR NOT EXISTS (SELECT 1 FROM node WHERE name = vote.node AND {_LIVE})
       OR (%(replaces)s
           AND (excluded.checked_at >= vote.checked_at
                OR EXISTS (SELECT 1 FROM node WHERE name IN (vote.node, excluded.node)
                           AND abs(time_offset_s) > {COMPARABLE_OFFSET_S}))))
"""

REPORT_HOST_MONITORS = """
INSERT INTO host_monitor (node, monitor, type, tags, state, since, reason, detail, acknowledged_by, maintenance,
                          changed_at)
SELECT *, now()
FROM unnest(%(nodes)s::text[], %(monitors)s::text[], %(types)s::text[], %(tags)s::jsonb[], %(states)s::text[],
            %(since)s::timestamptz[], %(reasons)s::text[], %(details)s::text[], %(acknowledged_by)s::text[],
            %(maintenance)s::text[]) AS given
ON CONFLICT (node, monitor) DO UPDATE SET
    type = excluded.type, tags = excluded.tags, state = excluded.state, since = excluded.since,
    reason = excluded.reason, detail = excluded.detail, acknowledged_by = excluded.acknowledged_by,
    maintenance = excluded.maintenance, changed_at = excluded.changed_at
WHERE (host_monitor.type, host_monitor.tags, host_monitor.state, host_monitor.since, host_monitor.reason,
       host_monitor.detail, host_monitor.acknowledged_by, host_monitor.maintenance) IS DISTINCT FROM
      (excluded.type, excluded.tags, excluded.state, excluded.since, excluded.reason,
       excluded.detail, excluded.acknowledged_by, excluded.maintenance)
"""

# A row without a state shows the removal to the other nodes.
REMOVE_OTHER_HOST_MONITORS = """
UPDATE host_monitor SET state = NULL, changed_at = now()
WHERE node = %(node)s AND state IS NOT NULL AND monitor <> ALL (%(monitors)s::text[])
"""

# The rows are merged by the node, and locked in one order.
EXPECT_HEARTBEATS = """
INSERT INTO heartbeat (monitor, facts, changed_at)
SELECT monitor, facts, now() FROM unnest(%(monitors)s::text[], %(facts)s::jsonb[]) AS given (monitor, facts)
ORDER BY monitor
ON CONFLICT (monitor) DO NOTHING
"""
LOCK_HEARTBEATS = """
SELECT monitor, facts FROM heartbeat WHERE monitor = ANY (%(monitors)s::text[]) ORDER BY monitor FOR UPDATE
"""
WRITE_HEARTBEATS = """
UPDATE heartbeat SET facts = given.facts, changed_at = now()
FROM unnest(%(monitors)s::text[], %(facts)s::jsonb[]) AS given (monitor, facts)
WHERE heartbeat.monitor = given.monitor
"""

# As JSON, which is converted much faster than the columns of a row.
_VOTE = (
    "json_build_array(vote.monitor, vote.location, vote.state, vote.since, vote.reason, vote.detail, vote.excerpt,"
    " vote.node, vote.checked_at)"
)
_DECISION = (
    "json_build_array(decision.monitor, decision.state, decision.since, decision.reason, decision.detail,"
    " decision.version, decision.alert, decision.flapping)"
)

_DISPUTED = """
    SELECT DISTINCT {0}.monitor
    FROM vote JOIN decision ON decision.monitor = vote.monitor
    WHERE {1} AND decision.state <> vote.state AND vote.location IN (SELECT location FROM live)
      AND (%(shards)s::integer[] IS NULL OR {0}.shard = ANY (%(shards)s::integer[]))
      AND (%(monitors)s::text[] IS NULL OR {0}.monitor = ANY (%(monitors)s::text[]))
      AND {0}.monitor > %(after)s::text
    ORDER BY {0}.monitor LIMIT %(limit)s
"""

# The two parts use the partial indexes of `schema`, in the order of the names, and end at the limit.
TALLY = f"""
WITH live AS (SELECT DISTINCT location FROM node WHERE {_LIVE} AND shares_checks),
disputed AS (
    ({_DISPUTED.format("vote", f"vote.state <> 'up' AND vote.state IN ({_STATES})")})
    UNION
    ({_DISPUTED.format("decision", "decision.state <> 'up' AND vote.state = 'up'")})
    ORDER BY monitor LIMIT %(limit)s
),
candidate AS (
    SELECT disputed.monitor, (SELECT {_DECISION} FROM decision WHERE decision.monitor = disputed.monitor) AS decision,
           (SELECT json_agg({_VOTE} ORDER BY vote.location) FROM vote
            WHERE vote.monitor = disputed.monitor AND vote.state IN ({_STATES})
              AND vote.location IN (SELECT location FROM live)) AS votes
    FROM disputed
)
SELECT now(), ARRAY(SELECT location FROM live), ARRAY(SELECT DISTINCT location FROM node WHERE shares_checks),
       NOT EXISTS (SELECT 1 FROM node WHERE name = %(node)s AND run = %(run)s AND {_LIVE}),
       candidate.decision, candidate.votes
FROM (SELECT 1 AS one) AS snapshot LEFT JOIN candidate ON true
ORDER BY candidate.monitor
"""

# One statement is one transaction, and one round trip. The rows are locked in one order, so that two nodes never wait
# for each other; after a wait, `locked` has only the rows whose version is still the same.
DECIDE = f"""
WITH given AS (
    SELECT *
    FROM unnest(%(monitors)s::text[], %(versions)s::bigint[], %(counted_at)s::timestamptz[], %(old_states)s::text[],
                %(states)s::text[], %(since)s::timestamptz[], %(reasons)s::text[], %(details)s::text[],
                %(alerts)s::jsonb[], %(flapping)s::jsonb[])
         AS given (monitor, version, counted_at, old_state, state, since, reason, detail, alert, flapping)
),
locked AS (
    SELECT decision.monitor
    FROM decision JOIN given ON given.monitor = decision.monitor AND given.version = decision.version
    WHERE EXISTS (SELECT 1 FROM node WHERE name = %(node)s AND run = %(run)s AND {_LIVE})
      AND (given.counted_at IS NULL OR given.counted_at >= now() - interval '{LIVE_S} seconds')
    ORDER BY decision.monitor
    FOR UPDATE OF decision
),
decided AS (
    UPDATE decision SET
        state = given.state, since = given.since, reason = given.reason, detail = given.detail,
        version = given.version + 1, alert = given.alert, flapping = given.flapping, changed_at = now()
    FROM given JOIN locked ON locked.monitor = given.monitor
    WHERE decision.monitor = given.monitor AND decision.version = given.version
    RETURNING decision.monitor, decision.version, given.old_state, given.state, given.since, given.reason,
              given.detail
),
queued AS (
    INSERT INTO notification (id, notifier, monitor, body, copy_to, created_at, attempts, status, response,
                              delivered_by)
    SELECT item.id, item.notifier, decided.monitor, item.body, item.copy_to, now(), 0, 'queued', '', ''
    FROM decided JOIN unnest(%(ids)s::text[], %(notifiers)s::text[], %(subjects)s::text[], %(bodies)s::jsonb[],
                             %(copies)s::text[])
         AS item (id, notifier, monitor, body, copy_to) ON item.monitor = decided.monitor
    ON CONFLICT (id) DO NOTHING
),
changed AS (
    INSERT INTO transition (monitor, version, old_state, state, since, reason, detail, node, decided_at)
    SELECT monitor, version, old_state, state, since, reason, detail, %(node)s, now()
    FROM decided WHERE old_state IS DISTINCT FROM state
),
ended AS (
    UPDATE incident SET ended_at = decided.since
    FROM decided
    WHERE incident.monitor = decided.monitor AND incident.ended_at IS NULL AND decided.state IN ('up', 'degraded')
),
began AS (
    INSERT INTO incident (monitor, version, started_at, reason, detail)
    SELECT decided.monitor, decided.version, decided.since, decided.reason, decided.detail
    FROM decided
    WHERE decided.state = 'down'
      AND NOT EXISTS (SELECT 1 FROM incident WHERE monitor = decided.monitor AND ended_at IS NULL)
),
-- Closed: a monitor of this name that is configured later is a new one.
removed AS (DELETE FROM heartbeat WHERE monitor IN (SELECT monitor FROM decided WHERE state = 'pending'))
SELECT monitor FROM decided
"""

# The first column is where the next poll begins, unless the clock of the database is set back in the meantime. The
# times are texts, which the next statement takes as they are. The names in ORDER BY have the name of the table, because
# the alias of a text would come first.
_CHANGED = """
SELECT (now() - %(overlap_s)s * interval '1 second')::text,
       changed_at >= now() - %(overlap_s)s * interval '1 second', changed_at::text, {1}::text
FROM {0}
WHERE ({2}) > (CASE WHEN %(is_first)s THEN least(%(since)s::timestamptz, now() - %(overlap_s)s * interval '1 second')
                    ELSE %(since)s::timestamptz END, {3})
ORDER BY {2} LIMIT %(limit)s
"""
CHANGED_DECISIONS = _CHANGED.format(
    "decision", _DECISION, "decision.changed_at, decision.monitor", "%(key)s::text"
)
CHANGED_VOTES = _CHANGED.format(
    "vote", _VOTE, "vote.changed_at, vote.monitor, vote.location", "%(key)s::text, %(second_key)s::text"
)
CHANGED_INTERVENTIONS = _CHANGED.format(
    "intervention",
    "json_build_array(kind, key, record)",
    "intervention.changed_at, intervention.kind, intervention.key",
    "%(key)s::text, %(second_key)s::text",
)
CHANGED_NODE_SHARDS = _CHANGED.format(
    "node_shard",
    "json_build_array(node, shard::text, monitors)",
    "node_shard.changed_at, node_shard.node, node_shard.shard",
    "%(key)s::text, coalesce(nullif(%(second_key)s, ''), '-1')::integer",
)

CHANGED_HEARTBEATS = _CHANGED.format(
    "heartbeat",
    "json_build_array(monitor, facts)",
    "heartbeat.changed_at, heartbeat.monitor",
    "%(key)s::text",
)
CHANGED_HOST_MONITORS = _CHANGED.format(
    "host_monitor",
    "json_build_array(node, monitor, type, tags, state, since, reason, detail, acknowledged_by, maintenance)",
    "host_monitor.changed_at, host_monitor.node, host_monitor.monitor",
    "%(key)s::text, %(second_key)s::text",
)

_EARLIER = """
    EXISTS (
        SELECT 1 FROM notification AS earlier
        WHERE earlier.finished_at IS NULL
          AND earlier.monitor = later.monitor AND earlier.notifier = later.notifier
          AND (earlier.created_at, earlier.id) < (later.created_at, later.id)
          AND {0})
"""

_FREE = """finished_at IS NULL AND (claimed_until IS NULL
           OR claimed_until NOT BETWEEN now() AND now() + 2 * %(claim_s)s * interval '1 second')"""
_CLAIMED = "id, body, copy_to, created_at, message_key, message_at"

# A recovery must not overtake its problem: the notifications after it wait while another node is delivering it.
CLAIM = f"""
UPDATE notification SET
    claimed_by = %(node)s, claimed_until = now() + %(claim_s)s * interval '1 second', attempts = attempts + 1
WHERE id IN (
    SELECT id FROM notification AS later
    WHERE {_FREE} AND {_HAS_NAME}
      AND (notifier = ANY (%(notifiers)s::text[])
           OR (notifier = ANY (%(others)s::text[])
               AND (attempts > 0 OR created_at < now() - %(overdue_s)s * interval '1 second')))
      AND NOT {_EARLIER.format("earlier.claimed_by <> %(node)s AND earlier.claimed_until >= now()")}
    ORDER BY created_at, id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
RETURNING {_CLAIMED}
"""

# The receiver may have processed a message that was attempted, so it is never sent in parts: the others of the same
# messages, which are beyond the limit or not overdue yet.
CLAIM_REST = f"""
UPDATE notification SET
    claimed_by = %(node)s, claimed_until = now() + %(claim_s)s * interval '1 second', attempts = attempts + 1
WHERE id IN (
    SELECT id FROM notification
    WHERE {_FREE} AND id <> ALL (%(ids)s::text[])
      AND (notifier, message_key) IN (SELECT notifier, message_key FROM notification WHERE id = ANY (%(ids)s::text[]))
    FOR UPDATE SKIP LOCKED
)
RETURNING {_CLAIMED}
"""

# In the transaction of CLAIM, which skips rows that another node is claiming at the same time.
RELEASE_OVERTAKING = f"""
UPDATE notification AS later SET claimed_by = NULL, claimed_until = NULL, attempts = attempts - 1
WHERE id = ANY (%(ids)s::text[])
  AND ({_EARLIER.format("(earlier.claimed_by IS DISTINCT FROM %(node)s OR earlier.claimed_until < now())")}
       OR EXISTS (
           SELECT 1 FROM notification AS rest
           WHERE rest.finished_at IS NULL AND rest.notifier = later.notifier AND rest.message_key = later.message_key
             AND (rest.claimed_by IS DISTINCT FROM %(node)s OR rest.claimed_until < now())))
RETURNING id
"""

RENEW = f"""
UPDATE notification SET claimed_until = now() + %(claim_s)s * interval '1 second'
WHERE id = ANY (%(ids)s::text[]) AND claimed_by = %(node)s AND finished_at IS NULL AND {_HAS_NAME}
RETURNING id, message_key, message_at
"""

# All or none, in a single round trip: with a slow database, the claims would otherwise end before the attempt.
ASSIGN_MESSAGE = f"""
WITH known AS (
    SELECT * FROM unnest(%(ids)s::text[], %(keys)s::text[]) AS known (id, message_key)
),
own AS (
    SELECT notification.id FROM notification JOIN known ON known.id = notification.id
    WHERE claimed_by = %(node)s AND finished_at IS NULL AND {_HAS_NAME}
      AND notification.message_key IS NOT DISTINCT FROM known.message_key
    FOR UPDATE OF notification
)
UPDATE notification SET
    claimed_until = now() + %(claim_s)s * interval '1 second', message_key = %(key)s, message_at = %(at)s
WHERE id IN (SELECT id FROM own) AND (SELECT count(*) FROM own) = (SELECT count(*) FROM known)
"""

RELEASE = f"""
UPDATE notification SET claimed_by = NULL, claimed_until = NULL
WHERE id = ANY (%(ids)s::text[]) AND claimed_by = %(node)s AND finished_at IS NULL AND {_HAS_NAME}
"""

LEAVE = """
UPDATE notification SET attempts = 1
WHERE finished_at IS NULL AND attempts = 0 AND notifier = ANY (%(notifiers)s::text[])
"""

FINISH = """
UPDATE notification SET
    finished_at = now(), claimed_until = NULL, status = result.status, response = result.response,
    delivered_by = result.delivered_by
FROM unnest(%(ids)s::text[], %(statuses)s::text[], %(responses)s::text[], %(delivered_by)s::text[])
     AS result (id, status, response, delivered_by)
WHERE notification.id = result.id AND finished_at IS NULL AND (claimed_by = %(node)s OR result.status = %(sent)s)
"""

WRITE_INTERVENTION = """
INSERT INTO intervention (kind, key, record, changed_at) VALUES (%(kind)s, %(key)s, %(record)s, now())
ON CONFLICT (kind, key) DO UPDATE SET record = excluded.record, changed_at = excluded.changed_at
"""

LOCK_ALERTS = """
SELECT monitor, alert FROM decision WHERE monitor = ANY (%(monitors)s::text[]) AND version > 0
ORDER BY monitor FOR UPDATE
"""
WRITE_ALERT = """
UPDATE decision SET alert = %(alert)s, version = version + 1, changed_at = now() WHERE monitor = %(monitor)s
"""

REMOVE_NODE = "DELETE FROM node WHERE name = %(name)s"
REMOVE_CONFIGURATION = "DELETE FROM configuration WHERE node = %(name)s"
REMOVE_SHARDS = "DELETE FROM node_shard WHERE node NOT IN (SELECT name FROM node)"
REMOVE_VOTES = "DELETE FROM vote WHERE location NOT IN (SELECT location FROM node)"
REMOVE_HOST_MONITORS = "DELETE FROM host_monitor WHERE node = %(name)s"

# A monitor that no live location checks: closed, or never decided. With the decision, its versions end as well, and
# with them the rows that have a version in their key.
PRUNE_CLOSED = f"""
WITH closed AS (
    SELECT monitor FROM decision
    WHERE state = 'pending' AND changed_at < now() - %(keep_closed_s)s * interval '1 second'
      AND NOT EXISTS (
          SELECT 1 FROM vote JOIN node ON node.location = vote.location
          WHERE vote.monitor = decision.monitor AND vote.state IN ({_STATES}) AND {_LIVE})
    ORDER BY monitor LIMIT %(limit)s
),
voted AS (DELETE FROM vote WHERE monitor IN (SELECT monitor FROM closed)),
changed AS (DELETE FROM transition WHERE monitor IN (SELECT monitor FROM closed)),
broken AS (DELETE FROM incident WHERE monitor IN (SELECT monitor FROM closed)),
received AS (DELETE FROM heartbeat WHERE monitor IN (SELECT monitor FROM closed))
DELETE FROM decision WHERE monitor IN (SELECT monitor FROM closed)
"""

# A vote that was written at the moment of its deletion has no decision.
EXPECT_MISSING_DECISIONS = """
INSERT INTO decision (monitor, shard, state, since, reason, detail, version, changed_at)
SELECT DISTINCT monitor, shard, 'pending', now(), 'ok', '', 0, now()
FROM vote WHERE NOT EXISTS (SELECT 1 FROM decision WHERE decision.monitor = vote.monitor)
ON CONFLICT (monitor) DO NOTHING
"""

_OLD = "now() - %(keep_days)s * interval '1 day'"
PRUNE = (
    f"DELETE FROM transition WHERE (monitor, version) IN"
    f" (SELECT monitor, version FROM transition WHERE decided_at < {_OLD} LIMIT %(limit)s)",
    f"DELETE FROM incident WHERE (monitor, version) IN"
    f" (SELECT monitor, version FROM incident WHERE ended_at < {_OLD} LIMIT %(limit)s)",
    f"DELETE FROM notification WHERE id IN"
    f" (SELECT id FROM notification WHERE finished_at < {_OLD} LIMIT %(limit)s)",
    f"DELETE FROM host_monitor WHERE state IS NULL AND changed_at < {_OLD}",
    f"DELETE FROM intervention WHERE (record IS NULL OR kind = 'link_use') AND changed_at < {_OLD}",
)

# No node has the notifier, and all would know it. If it were configured again later, the notification would be out of
# date.
CANCEL_ORPHANED = f"""
WITH known AS ({_KNOWN_CONFIGURATION})
UPDATE notification SET finished_at = now(), status = %(status)s, response = %(response)s
WHERE finished_at IS NULL AND created_at < now() - %(keep_orphaned_s)s * interval '1 second'
  AND (claimed_until IS NULL OR claimed_until < now())
  AND NOT EXISTS (SELECT 1 FROM known WHERE sections ? ('notifiers.' || notifier))
  AND NOT EXISTS (SELECT 1 FROM node WHERE role = 'node' AND {_RECENT} AND name NOT IN (SELECT node FROM known))
"""

LINK_KEY = "SELECT value FROM secret WHERE name = %(name)s"

COUNTS = """
SELECT (SELECT version FROM schema_version), (SELECT count(*) FROM decision WHERE version > 0), count(*),
       coalesce(extract(epoch FROM now() - min(created_at)), 0)::double precision,
       (SELECT digest FROM configuration WHERE node = %(node)s)
FROM notification WHERE finished_at IS NULL
"""
