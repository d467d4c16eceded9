-- The tables of Uptime Kuma 1.23 that hold its configuration, with the columns that matter.
CREATE TABLE monitor (id INTEGER PRIMARY KEY, name VARCHAR(150), active BOOLEAN DEFAULT 1 NOT NULL, user_id INTEGER,
    interval INTEGER DEFAULT 20 NOT NULL, url TEXT, type VARCHAR(20), weight INTEGER, hostname VARCHAR(255), port INTEGER,
    keyword VARCHAR(255), maxretries INTEGER NOT NULL DEFAULT 0, ignore_tls BOOLEAN DEFAULT 0 NOT NULL,
    upside_down BOOLEAN DEFAULT 0 NOT NULL, maxredirects INTEGER DEFAULT 10 NOT NULL,
    accepted_statuscodes_json TEXT DEFAULT '["200-299"]' NOT NULL, dns_resolve_type VARCHAR(5), dns_resolve_server VARCHAR(255),
    retry_interval INTEGER DEFAULT 0 NOT NULL, push_token VARCHAR(20), method TEXT DEFAULT 'GET' NOT NULL, body TEXT,
    headers TEXT, basic_auth_user TEXT, basic_auth_pass TEXT, proxy_id INTEGER, expiry_notification BOOLEAN DEFAULT 1,
    auth_method VARCHAR(250), resend_interval INTEGER DEFAULT 0 NOT NULL, packet_size INTEGER DEFAULT 56 NOT NULL,
    http_body_encoding VARCHAR(25), description TEXT, parent INTEGER, invert_keyword BOOLEAN DEFAULT 0 NOT NULL,
    json_path TEXT, expected_value VARCHAR(255), timeout DOUBLE DEFAULT 0 NOT NULL);
CREATE TABLE notification (id INTEGER PRIMARY KEY, name VARCHAR(255), config VARCHAR(255), active BOOLEAN DEFAULT 1 NOT NULL,
    user_id INTEGER, is_default BOOLEAN DEFAULT 0 NOT NULL);
CREATE TABLE monitor_notification (id INTEGER PRIMARY KEY, monitor_id INTEGER NOT NULL, notification_id INTEGER NOT NULL);
CREATE TABLE tag (id INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL, color VARCHAR(255) NOT NULL);
CREATE TABLE monitor_tag (id INTEGER PRIMARY KEY, monitor_id INTEGER NOT NULL, tag_id INTEGER NOT NULL, value TEXT);
CREATE TABLE proxy (id INTEGER PRIMARY KEY, protocol VARCHAR(10), host VARCHAR(255), port SMALLINT, auth BOOLEAN,
    username VARCHAR(255), password VARCHAR(255), active BOOLEAN);
CREATE TABLE heartbeat (id INTEGER PRIMARY KEY, monitor_id INTEGER NOT NULL, status SMALLINT NOT NULL, msg TEXT, time DATETIME);
INSERT INTO monitor (id, name, interval, url, type, maxretries, retry_interval, expiry_notification, proxy_id, timeout)
    VALUES (1, 'Web', 60, 'https://www.example.org/', 'http', 2, 30, 1, 1, 48);
INSERT INTO monitor (id, name, interval, type, hostname, port, expiry_notification) VALUES (2, 'Cache', 60, 'port', 'cache.example.org', 6379, 0);
INSERT INTO notification (id, name, config) VALUES (1, 'PagerDuty', '{"type":"PagerDuty","pagerdutyIntegrationKey":"0123456789abcdef0123456789abcdef","pagerdutyIntegrationUrl":"https://events.eu.pagerduty.com/v2/enqueue"}');
INSERT INTO notification (id, name, config) VALUES (2, 'Chat', '{"type":"discord","discordWebhookUrl":"https://discord.com/api/webhooks/0/example"}');
INSERT INTO monitor_notification VALUES (1, 1, 1), (2, 1, 2), (3, 2, 2);
INSERT INTO tag VALUES (1, 'prod', '#DC2626');
INSERT INTO monitor_tag VALUES (1, 1, 1, ''), (2, 2, 1, 'data');
INSERT INTO proxy VALUES (1, 'http', 'proxy.example.org', 3128, 1, 'monitor', 'pass@word', 1);
INSERT INTO heartbeat VALUES (1, 1, 1, '200 - OK', '2024-01-01 00:00:00');
