-- The same for version 2: further columns, maintenance with time zones, and status pages.
CREATE TABLE monitor (id INTEGER PRIMARY KEY, name VARCHAR(150), active BOOLEAN DEFAULT 1 NOT NULL, interval INTEGER NOT NULL,
    url TEXT, type VARCHAR(20), hostname VARCHAR(255), port INTEGER, maxretries INTEGER NOT NULL DEFAULT 0,
    retry_interval INTEGER DEFAULT 0 NOT NULL, timeout DOUBLE DEFAULT 48 NOT NULL, upside_down BOOLEAN DEFAULT 0,
    accepted_statuscodes_json TEXT DEFAULT '["200-299"]', method TEXT DEFAULT 'GET', json_path TEXT, json_path_operator VARCHAR(255),
    expected_value VARCHAR(255), parent INTEGER, conditions TEXT DEFAULT '[]' NOT NULL, ip_family VARCHAR(4),
    dns_resolve_type VARCHAR(5), dns_resolve_server VARCHAR(255), ping_count INTEGER DEFAULT 1, packet_size INTEGER DEFAULT 56);
CREATE TABLE maintenance (id INTEGER PRIMARY KEY, title VARCHAR(150), description TEXT, active BOOLEAN DEFAULT 1, strategy VARCHAR(50),
    start_date DATETIME, end_date DATETIME, start_time TIME, end_time TIME, weekdays VARCHAR(250), days_of_month TEXT,
    interval_day INTEGER, timezone VARCHAR(255), cron TEXT, duration INTEGER);
CREATE TABLE monitor_maintenance (id INTEGER PRIMARY KEY, monitor_id INTEGER, maintenance_id INTEGER);
CREATE TABLE status_page (id INTEGER PRIMARY KEY, slug VARCHAR(255));
INSERT INTO monitor (id, name, interval, url, type, json_path, json_path_operator, expected_value)
    VALUES (1, 'Queue', 60, 'https://api.example.org/queue', 'json-query', 'length', '<', '100');
INSERT INTO monitor (id, name, interval, type, hostname, ping_count) VALUES (2, 'Router', 60, 'ping', '192.0.2.1', 3);
INSERT INTO monitor (id, name, interval, type, hostname, dns_resolve_server, dns_resolve_type, conditions)
    VALUES (3, 'Zone', 60, 'dns', 'example.org', '192.0.2.53', 'A', '[{"type":"expression","variable":"record","operator":"equals","value":"192.0.2.80"}]');
INSERT INTO monitor (id, name, interval, type) VALUES (4, 'Browser', 60, 'real-browser');
INSERT INTO maintenance VALUES (1, 'Patch night', '', 1, 'recurring-weekday', NULL, NULL, '22:00', '01:00', '[2,4]', '[]', 1, 'Europe/Berlin', '0 22 * * 2,4', 180);
INSERT INTO maintenance VALUES (2, 'First of the month', '', 1, 'recurring-day-of-month', NULL, NULL, '03:00:00', '04:30:00', '[]', '[1,15]', 1, 'SAME_AS_SERVER', NULL, NULL);
INSERT INTO maintenance VALUES (3, 'Old move', '', 1, 'single', '2020-03-01 20:00:00', '2020-03-02 04:00:00', NULL, NULL, '[]', '[]', 1, 'UTC', NULL, NULL);
INSERT INTO maintenance VALUES (4, 'By cron', '', 1, 'cron', NULL, NULL, NULL, NULL, '[]', '[]', 1, 'UTC', '*/5 * * * *', 60);
INSERT INTO monitor_maintenance VALUES (1, 1, 1), (2, 2, 1), (3, 2, 2), (4, 1, 3), (5, 1, 4);
INSERT INTO status_page VALUES (1, 'public');
