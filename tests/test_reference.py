"""Every option has its effect and every reason occurs, each in a test that is named here.

An option's test fails when the option is ignored; a reason's produces it by a real situation. This file checks that
nothing is forgotten, that the tests exist, and that they speak of what they are named for.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from monitord import settings
from monitord.config import Table, read_document
from monitord.model import Reason
from monitord.monitors import MONITOR_TYPES

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "monitord"

NOT_GIVEN_YET: set[str] = set()
"""Reasons that no code uses yet."""

_READ = "monitors/heartbeat/test_heartbeat.py::test_every_option_is_read"
_LATE = "monitors/heartbeat/test_heartbeat.py::test_late_and_missed_are_reported_in_time_with_rare_checks"
_JOURNAL_READ = "monitors/journal/test_journal.py::test_options_are_read"
_JOURNAL_MATCHES = "journal/test_reader.py::test_matches_are_those_of_journalctl"
_JOURNAL_COUNTS = (
    "monitors/journal/test_journal.py::test_more_matches_than_at_most_within_the_window_are_a_failure"
)
_JOURNAL_SILENCE = (
    "monitors/journal/test_journal.py::test_absence_of_matches_is_a_failure_until_the_next_match"
)

# Where reading and obeying are two tests, both are named, and one of them speaks of the option.
Tests = str | tuple[str, ...]

COMMON: dict[str, Tests] = {
    "type": "monitors/test_ip_family.py::test_check_uses_an_address_of_the_configured_family",
    "check_every": "test_common_keys.py::test_check_every_is_the_time_between_the_starts_of_two_checks",
    "timeout": "test_common_keys.py::test_timeout_ends_a_check_that_hangs",
    "fail_after": "test_common_keys.py::test_fail_after_is_the_number_of_failures_that_make_a_monitor_down",
    "retry_every": "test_common_keys.py::test_retry_every_is_the_time_to_the_next_check_after_a_failure",
    "recover_after": "test_common_keys.py::test_recover_after_is_the_number_of_successes_that_end_an_outage",
    "degrade_after": "test_common_keys.py::test_degrade_after_is_the_number_of_warnings_that_make_a_monitor_degraded",
    "flapping": "test_common_keys.py::test_flapping_is_detected_unless_switched_off",
    "invert": "test_common_keys.py::test_invert_reverses_the_verdict",
    **dict.fromkeys(
        ("title", "description", "runbook", "contact", "severity"),
        (
            "test_settings.py::test_context_of_a_monitor_is_read",
            "notifiers/test_notification.py::test_text_has_what_helps_the_recipient",
        ),
    ),
    "slo": "monitors/test_objective.py::test_slo_adds_a_monitor_with_the_tags_and_the_context_of_its_monitor",
    "tags": "test_common_keys.py::test_group_has_the_worst_state_of_its_members",
    "renamed_from": (
        "test_settings.py::test_name_is_taken_over_once_and_only_when_it_is_free",
        "dispatch/test_dispatcher.py::test_renamed_monitor_keeps_its_state",
    ),
    "depends_on": "test_common_keys.py::test_dependent_of_a_parent_that_is_down_is_unreachable",
    "depends_on_any": "test_common_keys.py::test_dependent_of_a_parent_that_is_down_is_unreachable",
    "locations": (
        "cluster/test_settings.py::test_locations_and_quorum_are_read",
        "cluster/test_quorum.py::test_only_the_locations_of_the_monitor_vote",
    ),
    "quorum": (
        "cluster/test_settings.py::test_locations_and_quorum_are_read",
        "cluster/test_quorum.py::test_number_of_needed_votes",
    ),
    "up_when": "monitors/test_http_conditions.py::test_condition_that_is_not_met_fails",
    "degraded_when": "monitors/test_http_conditions.py::test_slow_response_degrades",
}

OPTIONS: dict[str, Tests] = {
    "log.level": "test_daemon.py::test_daemon_listens_logs_and_stores_as_configured",
    "log.checks": "test_control.py::test_reload_applies_only_the_difference",
    "status.socket": "test_daemon.py::test_daemon_listens_logs_and_stores_as_configured",
    **{
        f"status.{key}": "test_daemon.py::test_daemon_listens_on_tcp_and_the_token_allows_changes"
        for key in ("listen", "tokens.NAME.token")
    },
    "status.tokens.NAME.locations": (
        "test_settings.py::test_locations_of_a_token_are_read",
        "status/api/test_reports.py::test_token_is_required",
    ),
    "status.tokens.NAME.rights": (
        "test_settings.py::test_other_sections_are_read",
        "status/access/test_security.py::test_rights_of_a_token_limit_the_changes",
    ),
    "status.allowed_hosts": (
        "test_settings.py::test_other_sections_are_read",
        "status/access/test_security.py::test_tcp_accepts_only_local_and_configured_hosts",
    ),
    "status.public_url": (
        "test_settings.py::test_other_sections_are_read",
        "bridges/test_alert_sink.py::test_notification_names_the_page_and_the_related_monitors",
    ),
    **{
        f"status.{key}": (
            "test_settings.py::test_proxy_socket_and_user_header_are_read",
            "status/access/test_security.py::test_user_that_the_trusted_proxy_names_can_make_changes",
        )
        for key in ("proxy_socket", "user_header")
    },
    "status.max_connections_per_address": "test_daemon.py::test_tcp_clients_are_limited_per_address",
    "status.max_event_streams_per_address": "test_daemon.py::test_tcp_clients_are_limited_per_address",
    "limits.max_concurrent_checks": "test_control.py::test_reload_applies_only_the_difference",
    "limits.max_concurrent_per_host": "test_control.py::test_reload_applies_only_the_difference",
    "limits.max_concurrent_processes": "monitors/exec/test_exec.py::test_programs_have_their_own_limit",
    "auto.units": (
        "sources/test_units.py::test_every_key_of_auto_is_read",
        "sources/test_units.py::test_failed_unit_opens_an_incident_without_configuration",
    ),
    "auto.host": (
        "sources/host/test_source.py::test_host_is_read_without_the_configured_targets",
        "sources/host/test_source.py::test_host_has_its_file_systems_timers_and_certificates",
    ),
    "auto.containers": (
        "sources/test_containers.py::test_keys_of_auto_are_read",
        "sources/test_containers.py::test_unhealthy_container_is_monitored_until_it_has_recovered",
    ),
    "auto.container_socket": "sources/test_containers.py::test_keys_of_auto_are_read",
    "auto.ignore": (
        "sources/test_units.py::test_every_key_of_auto_is_read",
        "sources/test_units.py::test_ignored_and_configured_units_are_not_added",
    ),
    **{
        f"discover.{key}": "sources/discovery/test_settings.py::test_every_key_is_read"
        for key in (
            *("type", "name", "keep", "drop", "files", "refresh_every", "timeout", "remove_after"),
            "max_targets",
        )
    },
    **{
        f"cluster.{key}": "cluster/test_settings.py::test_every_key_is_read"
        for key in ("database", "location", "node", "alone_after")
    },
    **{
        f"cluster.{key}": "cluster/test_settings.py::test_keys_of_an_agent_are_read"
        for key in ("hub", "token", "ca_file")
    },
    "network.isolation_threshold": "test_control.py::test_reload_applies_only_the_difference",
    "network.canaries": "test_control.py::test_reload_applies_only_the_difference",
    "history.enabled": "test_daemon.py::test_daemon_listens_logs_and_stores_as_configured",
    "history.directory": "test_daemon.py::test_daemon_listens_logs_and_stores_as_configured",
    **{
        f"history.{key}": "history/test_settings.py::test_every_key_is_read"
        for key in ("max_size", "result_retention", "minute_retention", "hour_retention", "day_retention")
    },
    **{
        f"reports.NAME.{key}": (
            "reports/test_settings.py::test_every_key_of_a_report_is_read",
            "reports/test_scheduler.py::test_each_period_is_delivered_once",
        )
        for key in ("schedule", "period", "notify", "directory", "monitors", "tags", "max_monitors")
    },
    **{
        f"pages.NAME.{key}": (
            "public_pages/test_settings.py::test_every_key_of_a_page_is_read",
            "public_pages/test_settings.py::test_page_covers_the_selected_monitors",
            "public_pages/test_rendering.py::test_page_is_well_formed_in_every_language",
        )
        for key in (
            *("title", "description", "monitors", "tags", "language", "zone", "days"),
            *("show_reasons", "show_comments", "publish", "listen", "socket", "hosts", "logo"),
        )
    },
    **{
        f"pages.NAME.groups.{key}": "public_pages/test_settings.py::test_monitor_is_in_the_first_group_that_matches"
        for key in ("title", "monitors", "tags")
    },
    **{
        f"maintenance.NAME.{key}": "health/test_windows.py::test_every_key_is_read"
        for key in ("schedule", "duration", "from", "until", "monitors", "tags", "comment")
    },
    **{
        f"notifiers.NAME.{key}": "notifiers/test_options.py::test_common_keys_are_read"
        for key in (
            "type",
            "timeout",
            "group_wait",
            "max_notifications_per_message",
            "max_messages_per_minute",
            "expire_after",
            "fallback",
            "action_links",
            "locations",
        )
    },
    **{
        f"alerts.routes.{key}": "alerts/test_routes.py::test_every_key_of_a_route_is_read"
        for key in (
            *("notify", "monitors", "tags", "types", "states", "continue", "after", "repeat_every"),
            *("quiet_hours.schedule", "quiet_hours.duration"),
        )
    },
    "http.url": "monitors/http/test_http.py::test_successful_response_has_a_summary_of_one_line",
    "http.method": "monitors/http/test_http.py::test_method_and_headers_are_sent",
    "http.headers": "monitors/http/test_http.py::test_method_and_headers_are_sent",
    "http.body": "monitors/http/test_http.py::test_body_is_sent",
    "http.form": "monitors/http/test_http.py::test_body_is_sent",
    "http.json": "monitors/http/test_http.py::test_body_is_sent",
    "http.basic_auth": "monitors/http/test_http.py::test_basic_and_bearer_credentials_are_sent",
    "http.digest_auth": "monitors/http/test_http.py::test_digest_is_sent_after_a_challenge",
    "http.bearer_token": "monitors/http/test_http.py::test_basic_and_bearer_credentials_are_sent",
    "http.verify": "monitors/http/test_http.py::test_verification_can_be_disabled",
    "http.ca_file": "monitors/http/test_http.py::test_fields_of_the_certificate_are_reported",
    "http.client_certificate_file": "monitors/http/test_http.py::test_client_certificate_is_sent",
    "http.client_key_file": "monitors/http/test_http.py::test_client_certificate_is_sent",
    "http.server_name": "monitors/http/test_http.py::test_server_name_replaces_the_host_in_the_verification",
    "http.min_tls_version": "monitors/http/test_http.py::test_min_tls_rejects_older_versions_of_the_server",
    "http.follow_redirects": "monitors/http/test_http.py::test_redirects_are_followed_by_default",
    "http.proxy": "monitors/http/test_http.py::test_proxy_is_used",
    "http.connect_to": "monitors/http/test_http.py::test_connect_to_selects_another_peer",
    "http.ip_family": "monitors/test_ip_family.py::test_check_uses_an_address_of_the_configured_family",
    **{
        f"{name}.source_address": "monitors/test_source_address.py::test_connection_comes_from_the_address"
        for name in ("http", "tcp", "tls", "dns", "websocket", "grpc", "redis")
    },
    "icmp.source_address": "monitors/test_icmp.py::test_requests_come_from_the_address",
    "http.all_addresses": "monitors/http/test_http.py::test_all_addresses_reports_the_worst_result",
    "http.reuse_connection": "monitors/http/test_http.py::test_connection_is_kept_until_the_monitor_is_closed",
    "http.max_body_size": "monitors/http/test_http.py::test_body_beyond_the_limit_is_too_large",
    "http.max_header_size": "monitors/http/test_http.py::test_headers_beyond_the_limit_are_too_large",
    "http.read_body": "monitors/http/test_http.py::test_check_ends_with_the_headers_if_the_body_is_not_read",
    "steps.steps": "monitors/steps/test_steps.py::test_status_of_each_step_is_below_400_by_default",
    "steps.steps.name": "monitors/steps/test_steps.py::test_status_of_each_step_is_below_400_by_default",
    "steps.steps.up_when": "monitors/steps/test_steps.py::test_conditions_of_a_step_replace_its_default",
    "steps.steps.extract": "monitors/steps/test_steps.py::test_secret_values_are_masked_in_every_text",
    "steps.steps.extract.secret": "monitors/steps/test_steps.py::test_secret_flag_overrides_the_guess",
    "exec.command": "monitors/exec/test_exec.py::test_plugin_receives_arguments_environment_and_directory",
    "exec.environment": "monitors/exec/test_exec.py::test_plugin_receives_arguments_environment_and_directory",
    "exec.directory": "monitors/exec/test_exec.py::test_plugin_receives_arguments_environment_and_directory",
    "dns.name": "monitors/test_dns.py::test_addresses_pass_with_a_summary_of_one_line",
    "dns.record_type": "monitors/test_dns.py::test_each_record_type_is_queried",
    "dns.server": "monitors/test_ip_family.py::test_check_uses_an_address_of_the_configured_family",
    "dns.port": "monitors/test_dns.py::test_addresses_pass_with_a_summary_of_one_line",
    "dns.protocol": "monitors/test_dns.py::test_query_over_tls_verifies_the_certificate",
    "dns.recursion": "monitors/test_dns.py::test_recursion_is_requested_unless_disabled",
    "dns.ip_family": "monitors/test_ip_family.py::test_check_uses_an_address_of_the_configured_family",
    "dns.verify": "monitors/test_dns.py::test_query_over_tls_verifies_the_certificate",
    "dns.ca_file": "monitors/test_dns.py::test_query_over_tls_verifies_the_certificate",
    "dns.server_name": "monitors/test_dns.py::test_query_over_tls_verifies_the_certificate",
    "certificate.file": "monitors/test_certificate.py::test_options_are_read",
    "reboot.grace": (
        "monitors/test_reboot.py::test_grace_is_read",
        "monitors/test_reboot.py::test_flag_within_grace_passes",
    ),
    "cluster.grace": "monitors/test_cluster.py::test_node_is_lost_after_grace",
    "cluster.nodes": "monitors/test_cluster.py::test_only_the_configured_nodes_are_watched",
    "disk.path": "monitors/disk/test_disk.py::test_options_are_read",
    "disk.device": "monitors/disk/test_disk.py::test_device_that_is_not_mounted_fails",
    "disk.requires_mount": "monitors/disk/test_disk.py::test_requires_mount_fails_if_the_path_is_only_a_directory",
    "icmp.host": "monitors/test_ip_family.py::test_check_uses_an_address_of_the_configured_family",
    "icmp.count": "monitors/test_icmp.py::test_every_option_has_its_effect",
    "icmp.interval": "monitors/test_icmp.py::test_every_option_has_its_effect",
    "icmp.payload": "monitors/test_icmp.py::test_every_option_has_its_effect",
    "icmp.ip_family": "monitors/test_ip_family.py::test_check_uses_an_address_of_the_configured_family",
    **{
        f"journal.{key}": (_JOURNAL_READ, _JOURNAL_MATCHES)
        for key in ("match", "unit", "identifier", "priority")
    },
    "journal.pattern": (_JOURNAL_READ, _JOURNAL_SILENCE),
    "journal.at_most": (_JOURNAL_READ, _JOURNAL_COUNTS),
    "journal.within": (
        _JOURNAL_READ,
        "monitors/journal/test_journal.py::test_matches_leave_the_window_as_time_passes",
    ),
    "journal.absent_for": (_JOURNAL_READ, _JOURNAL_SILENCE),
    "journal.include_existing": (
        _JOURNAL_READ,
        "monitors/journal/test_journal.py::test_since_counts_earlier_entries_at_the_first_start",
    ),
    "tcp.address": "monitors/test_tcp.py::test_unix_socket_is_used",
    "tcp.dialogue": "monitors/test_tcp.py::test_dialogue_is_completed",
    "tcp.dialogue.send": "monitors/test_tcp.py::test_dialogue_is_completed",
    "tcp.dialogue.expect": "monitors/test_tcp.py::test_unmet_expectation_fails",
    "tcp.dialogue.starttls": "monitors/test_tcp.py::test_starttls_has_the_fields_of_tls",
    "tcp.tls": "monitors/test_tcp.py::test_tls_can_begin_with_the_connection",
    "tcp.ip_family": "monitors/test_ip_family.py::test_check_uses_an_address_of_the_configured_family",
    "tcp.verify": "monitors/test_tcp.py::test_tls_can_begin_with_the_connection",
    "tcp.ca_file": "monitors/test_tcp.py::test_tls_can_begin_with_the_connection",
    "tcp.client_certificate_file": "monitors/test_tcp_tls.py::test_client_certificate_with_a_separate_key_is_used",
    "tcp.client_key_file": "monitors/test_tcp_tls.py::test_client_certificate_with_a_separate_key_is_used",
    "tcp.server_name": "monitors/test_tcp_tls.py::test_certificate_is_verified_for_the_server_name",
    "tcp.min_tls_version": "monitors/test_tcp_tls.py::test_min_tls_rejects_older_versions",
    "redis.address": "monitors/database/test_options.py::test_port_is_optional",
    "redis.username": "monitors/database/test_redis.py::test_user_with_few_permissions_has_fewer_fields",
    "redis.password": "monitors/database/test_redis.py::test_errors_of_the_server_are_reported",
    "redis.database": "monitors/database/test_redis.py::test_database_is_selected",
    "redis.command": "monitors/database/test_redis.py::test_value_of_a_command_is_reported",
    "redis.tls": "monitors/database/test_redis.py::test_tls_is_used_and_verified",
    "redis.ip_family": "monitors/test_ip_family.py::test_check_uses_an_address_of_the_configured_family",
    "redis.verify": "monitors/database/test_options.py::test_every_option_is_read",
    "redis.ca_file": "monitors/database/test_redis.py::test_tls_is_used_and_verified",
    "redis.client_certificate_file": "monitors/database/test_redis.py::test_tls_is_used_and_verified",
    "redis.client_key_file": "monitors/database/test_redis.py::test_tls_is_used_and_verified",
    "redis.server_name": "monitors/database/test_redis.py::test_tls_is_used_and_verified",
    "redis.min_tls_version": "monitors/database/test_options.py::test_every_option_is_read",
    "postgresql.address": "monitors/database/test_options.py::test_port_is_optional",
    "postgresql.username": "monitors/database/test_postgresql.py::test_user_with_few_permissions",
    "postgresql.password": "monitors/database/test_postgresql.py::test_errors_of_the_server",
    "postgresql.database": "monitors/database/test_postgresql.py::test_database_is_selected",
    "postgresql.query": "monitors/database/test_postgresql.py::test_value_of_a_query",
    "postgresql.tls": "monitors/database/test_postgresql.py::test_tls",
    "postgresql.ip_family": "monitors/test_ip_family.py::test_check_uses_an_address_of_the_configured_family",
    "postgresql.verify": "monitors/database/test_options.py::test_every_option_is_read",
    "postgresql.ca_file": "monitors/database/test_postgresql.py::test_tls",
    "postgresql.client_certificate_file": "monitors/database/test_postgresql.py::test_tls",
    "postgresql.client_key_file": "monitors/database/test_postgresql.py::test_tls",
    "postgresql.server_name": "monitors/database/test_postgresql.py::test_tls",
    "postgresql.min_tls_version": "monitors/database/test_options.py::test_every_option_is_read",
    "mysql.address": "monitors/database/test_options.py::test_port_is_optional",
    "mysql.username": "monitors/database/test_mysql.py::test_user_with_few_permissions",
    "mysql.password": "monitors/database/test_mysql.py::test_errors_of_the_server",
    "mysql.database": "monitors/database/test_mysql.py::test_database_is_selected",
    "mysql.query": "monitors/database/test_mysql.py::test_value_of_a_query",
    "mysql.tls": "monitors/database/test_mysql.py::test_tls",
    "mysql.ip_family": "monitors/test_ip_family.py::test_check_uses_an_address_of_the_configured_family",
    "mysql.verify": "monitors/database/test_options.py::test_every_option_is_read",
    "mysql.ca_file": "monitors/database/test_mysql.py::test_tls",
    "mysql.client_certificate_file": "monitors/database/test_mysql.py::test_tls",
    "mysql.client_key_file": "monitors/database/test_mysql.py::test_tls",
    "mysql.server_name": "monitors/database/test_mysql.py::test_tls",
    "mysql.min_tls_version": "monitors/database/test_options.py::test_every_option_is_read",
    "tls.address": "monitors/test_tls.py::test_valid_certificate_passes_with_a_summary_of_one_line",
    "websocket.url": "monitors/test_websocket.py::test_open_websocket_passes",
    "websocket.dialogue": "monitors/test_websocket.py::test_dialogue_of_messages_is_completed",
    "websocket.headers": "monitors/test_websocket.py::test_subprotocol_and_headers_reach_the_server",
    "websocket.subprotocols": "monitors/test_websocket.py::test_subprotocol_and_headers_reach_the_server",
    "websocket.basic_auth": "monitors/test_websocket.py::test_subprotocol_and_headers_reach_the_server",
    "websocket.bearer_token": "monitors/test_websocket.py::test_token_and_certificate_reach_the_server",
    "websocket.verify": "monitors/test_websocket.py::test_every_option_is_read",
    "websocket.ca_file": "monitors/test_websocket.py::test_tls_is_verified_and_reported",
    "websocket.server_name": "monitors/test_websocket.py::test_tls_is_verified_and_reported",
    "websocket.ip_family": "monitors/test_websocket.py::test_every_option_is_read",
    "websocket.client_certificate_file": "monitors/test_websocket.py::test_token_and_certificate_reach_the_server",
    "websocket.client_key_file": "monitors/test_websocket.py::test_token_and_certificate_reach_the_server",
    "websocket.min_tls_version": "monitors/test_websocket.py::test_every_option_is_read",
    "grpc.address": "monitors/test_grpc.py::test_health_of_services_is_reported",
    "grpc.service": "monitors/test_grpc.py::test_health_of_services_is_reported",
    "grpc.tls": "monitors/test_grpc.py::test_tls_is_used_and_verified",
    "grpc.metadata": "monitors/test_grpc.py::test_metadata_is_sent_and_masked",
    "grpc.authority": "monitors/test_grpc.py::test_every_option_is_read",
    "grpc.verify": "monitors/test_grpc.py::test_every_option_is_read",
    "grpc.ca_file": "monitors/test_grpc.py::test_tls_is_used_and_verified",
    "grpc.server_name": "monitors/test_grpc.py::test_every_option_is_read",
    "grpc.ip_family": "monitors/test_grpc.py::test_every_option_is_read",
    "grpc.client_certificate_file": "monitors/test_grpc.py::test_every_option_is_read",
    "grpc.client_key_file": "monitors/test_grpc.py::test_every_option_is_read",
    "grpc.min_tls_version": "monitors/test_grpc.py::test_every_option_is_read",
    "tls.starttls": "monitors/test_tls.py::test_starttls_is_requested_from_mail_servers",
    "tls.ip_family": "monitors/test_ip_family.py::test_check_uses_an_address_of_the_configured_family",
    "tls.verify": "monitors/test_tls.py::test_each_certificate_error_has_its_own_reason",
    "tls.ca_file": "monitors/test_tls.py::test_valid_certificate_passes_with_a_summary_of_one_line",
    "tls.client_certificate_file": "monitors/test_tls.py::test_client_certificate_is_used",
    "tls.client_key_file": "monitors/test_tls.py::test_client_certificate_is_used",
    "tls.server_name": "monitors/test_tls.py::test_server_name_replaces_the_host",
    "tls.min_tls_version": "monitors/test_tls.py::test_old_version_is_rejected",
    "domain.domain": "monitors/test_domain.py::test_registrable_domain_is_accepted_in_its_ascii_form",
    "domain.warn_before": "monitors/test_domain.py::test_expiry_warns_and_fails",
    "domain.fail_before": "monitors/test_domain.py::test_expiry_warns_and_fails",
    "domain.server": "monitors/test_domain.py::test_server_replaces_that_of_the_bootstrap_file",
    "domain.bootstrap": "monitors/test_domain.py::test_options_are_read",
    "container.container": "monitors/container/test_container.py::test_recorded_states_have_the_expected_result",
    "container.containers": "monitors/container/test_container.py::test_containers_are_selected_by_patterns_and_labels",
    "container.labels": "monitors/container/test_container.py::test_containers_are_selected_by_patterns_and_labels",
    "container.socket": "monitors/container/test_container.py::test_options_are_read",
    "container.expect": "monitors/container/test_container.py::test_recorded_states_have_the_expected_result",
    "container.on_crash": "monitors/container/test_container.py::test_crash_between_two_checks_is_reported_once",
    "container.grace": "monitors/container/test_container.py::test_stopped_container_has_the_grace_to_be_started_again",
    "unit.unit": "monitors/systemd/test_unit.py::test_state_of_a_unit_has_its_result",
    "unit.units": "monitors/systemd/test_unit.py::test_one_failed_unit_fails_a_monitor_of_many",
    "unit.expect": "monitors/systemd/test_unit.py::test_state_of_a_unit_has_its_result",
    "unit.on_crash": "monitors/systemd/test_unit.py::test_effect_of_a_crash_is_configurable",
    "unit.resources": "monitors/systemd/test_unit_usage.py::test_resources_are_queried_only_if_they_are_needed",
    "unit.grace": "monitors/systemd/test_unit.py::test_restarting_unit_has_the_grace_period",
    "timer.timer": "monitors/systemd/test_timer.py::test_timer_that_elapses_passes",
    "clock.source": "monitors/clock/test_clock.py::test_chosen_service_that_does_not_run_is_a_problem",
    "clock.max_offset": "monitors/clock/test_clock.py::test_options_set_the_limits_of_the_default_verdict",
    "clock.max_age": "monitors/clock/test_clock.py::test_options_set_the_limits_of_the_default_verdict",
    "clock.grace": "monitors/clock/test_clock.py::test_problem_is_accepted_during_the_grace_period",
    "load.warn_above": "monitors/host/test_load.py::test_options_set_the_limits_of_the_default_verdict",
    "load.fail_above": "monitors/host/test_load.py::test_options_set_the_limits_of_the_default_verdict",
    "process.unit": "monitors/host/test_process.py::test_processes_of_a_unit_need_no_proc",
    "process.name": "monitors/host/test_process.py::test_processes_are_counted",
    "process.pattern": "monitors/host/test_process.py::test_processes_are_counted",
    "process.at_least": "monitors/host/test_process.py::test_processes_are_counted",
    "process.at_most": "monitors/host/test_process.py::test_processes_are_counted",
    "memory.warn_below": "monitors/host/test_memory.py::test_options_set_the_limits_of_the_default_verdict",
    "memory.fail_below": "monitors/host/test_memory.py::test_options_set_the_limits_of_the_default_verdict",
    "timer.grace": "monitors/systemd/test_timer.py::test_run_that_does_not_start_is_missed_after_the_grace",
    "timer.counts_downtime": (
        "monitors/systemd/test_timer.py::test_every_option_is_read",
        "monitors/systemd/test_timer_plan.py::test_run_while_the_timer_was_not_active_is_not_missed_without_downtime",
    ),
    "timer.max_age": "monitors/systemd/test_timer.py::test_max_age_counts_from_the_last_elapse",
    "heartbeat.every": (_READ, _LATE),
    "heartbeat.grace": (_READ, _LATE),
    "heartbeat.warn_after": (_READ, _LATE),
    "heartbeat.schedule": (
        _READ,
        "monitors/heartbeat/test_record.py::test_calendar_counts_from_the_last_end",
    ),
    "heartbeat.max_runtime": (
        _READ,
        "monitors/heartbeat/test_heartbeat.py::test_run_that_does_not_end_is_missed",
    ),
    "group.members": "test_common_keys.py::test_group_has_the_worst_state_of_its_members",
    "group.member_tags": "test_common_keys.py::test_group_has_the_worst_state_of_its_members",
    "group.at_least": "test_common_keys.py::test_group_has_the_worst_state_of_its_members",
    **{
        f"objective.{key}": (
            "monitors/test_objective.py::test_options_are_read",
            "bridges/test_state_times.py::test_monitors_are_selected_as_in_silences_and_reports",
        )
        for key in ("monitors", "monitor_tags")
    },
    "objective.target": (
        "monitors/test_objective.py::test_options_are_read",
        "test_objective_alerts.py::test_reload_keeps_the_alert_changes_the_objective_and_ends_it",
    ),
    "objective.window": (
        "monitors/test_objective.py::test_options_are_read",
        "health/test_objectives.py::test_windows_of_the_alerts_are_those_of_the_sre_workbook_scaled_to_the_window",
    ),
    "objective.burn_alerts": (
        "monitors/test_objective.py::test_options_are_read",
        "monitors/test_objective.py::test_without_burn_alerts_conditions_decide",
    ),
}

REASONS: dict[str, Tests] = {
    "ok": "monitors/http/test_http.py::test_status_below_400_passes",
    "timeout_resolve": "net/stream/test_client.py::test_unresponsive_resolver_is_a_resolve_timeout",
    "timeout_connect": "monitors/test_tcp.py::test_timeout_applies_to_every_phase",
    "timeout_tls": "monitors/test_tls.py::test_other_failures_have_their_reasons",
    "timeout_response": "monitors/http/test_http.py::test_silent_peer_fails_at_the_timeout",
    "timeout_body": "net/test_http_failures.py::test_each_phase_has_its_own_timeout",
    "resolve_failed": "monitors/test_tcp.py::test_closed_port_and_unknown_name_fail",
    "refused": "monitors/http/test_http.py::test_absent_peer_has_a_summary_of_one_line",
    "reset": "monitors/test_tcp.py::test_unmet_expectation_fails",
    "host_unreachable": "net/dns/test_client.py::test_server_without_a_route_is_unreachable",
    "tls_expired": "monitors/test_tls.py::test_each_certificate_error_has_its_own_reason",
    "tls_not_yet_valid": "monitors/test_certificate.py::test_certificate_has_its_default_verdict",
    "tls_name_mismatch": "monitors/test_tls.py::test_each_certificate_error_has_its_own_reason",
    "tls_untrusted": "monitors/test_tls.py::test_each_certificate_error_has_its_own_reason",
    "tls_failed": "monitors/test_tls.py::test_old_version_is_rejected",
    "protocol_error": "monitors/test_tls.py::test_data_after_the_starttls_reply_is_rejected",
    "too_large": "monitors/http/test_http.py::test_body_beyond_the_limit_is_too_large",
    "too_many_redirects": "net/test_http_redirects.py::test_more_than_ten_redirects_are_too_many",
    "redirect_rejected": "net/test_http_redirects.py::test_body_is_not_sent_to_another_origin",
    "condition_failed": "monitors/test_http_conditions.py::test_condition_that_is_not_met_fails",
    "condition_unresolved": "monitors/test_http_conditions.py::test_condition_that_is_not_met_fails",
    "extract_failed": "monitors/steps/test_steps.py::test_value_that_is_missing_fails_with_its_reason",
    "plugin_warning": "monitors/exec/test_exec.py::test_exit_code_determines_the_verdict",
    "plugin_critical": "monitors/exec/test_exec.py::test_exit_code_determines_the_verdict",
    "plugin_unknown": "monitors/exec/test_exec.py::test_exit_code_determines_the_verdict",
    "plugin_killed": "monitors/exec/test_exec.py::test_killed_plugin_is_a_failure",
    "domain_expired": "monitors/test_domain.py::test_expiry_warns_and_fails",
    "domain_not_renewed": "monitors/test_domain.py::test_expiry_warns_and_fails",
    "domain_expiring": "monitors/test_domain.py::test_expiry_warns_and_fails",
    "domain_held": "monitors/test_domain.py::test_domain_that_is_held_or_deleted_fails",
    "domain_missing": "monitors/test_domain.py::test_missing_domain_fails_after_a_second_response",
    "domain_query_failed": "monitors/test_domain.py::test_unusable_response_is_inconclusive",
    "container_failed": "monitors/container/test_container.py::test_recorded_states_have_the_expected_result",
    "container_unhealthy": "monitors/container/test_container.py::test_recorded_states_have_the_expected_result",
    "container_stopped": "monitors/container/test_container.py::test_missing_container_is_stopped",
    "container_restarted": "monitors/container/test_container.py::test_crash_between_two_checks_is_reported_once",
    "container_starting": "monitors/container/test_container.py::test_recorded_states_have_the_expected_result",
    "engine_unavailable": "monitors/container/test_container.py::test_error_of_the_engine_is_inconclusive",
    "unit_failed": "monitors/systemd/test_unit.py::test_crash_between_two_checks_fails_the_next_check",
    "unit_inactive": "monitors/systemd/test_unit.py::test_missing_unit_is_inactive",
    "unit_restarted": "monitors/systemd/test_unit.py::test_effect_of_a_crash_is_configurable",
    "manager_timeout": "monitors/systemd/test_unit.py::test_unit_on_a_host_without_a_bus_is_inconclusive",
    "load_high": "monitors/host/test_load.py::test_load_has_its_default_verdict",
    "overloaded": "monitors/host/test_load.py::test_load_has_its_default_verdict",
    "too_few_processes": "monitors/host/test_process.py::test_processes_are_counted",
    "too_many_processes": "monitors/host/test_process.py::test_processes_are_counted",
    "prober_disconnected": "cluster/test_heartbeats.py::test_no_false_alarm_while_the_database_is_away",
    "node_lost": "cluster/test_host_monitors.py::test_monitors_of_a_node_that_is_lost_are_unknown",
    "prober_measuring": "monitors/host/test_process.py::test_condition_on_cpu_time_is_inconclusive_in_the_first_check",
    "memory_low": "monitors/host/test_memory.py::test_memory_has_its_default_verdict",
    "memory_exhausted": "monitors/host/test_memory.py::test_memory_has_its_default_verdict",
    "clock_offset": "monitors/clock/test_clock.py::test_status_has_its_default_verdict",
    "clock_unsynchronized": "monitors/clock/test_clock.py::test_status_has_its_default_verdict",
    "cluster_alone": "monitors/test_cluster.py::test_node_that_decides_alone_fails",
    "cluster_location_lost": "monitors/test_cluster.py::test_lost_location_is_a_failure",
    "cluster_node_lost": (
        "monitors/test_cluster.py::test_lost_node_is_a_warning_while_its_location_has_another_one"
    ),
    "configurations_differ": (
        "monitors/test_cluster.py::test_different_configurations_are_a_warning_after_a_rolling_reload"
    ),
    "cluster_clock_offset": "monitors/test_cluster.py::test_large_values_are_a_warning",
    "cluster_slow": "monitors/test_cluster.py::test_large_values_are_a_warning",
    "cluster_unknown": "monitors/test_cluster.py::test_short_outage_of_the_database_is_inconclusive",
    "heartbeat_late": _LATE,
    "heartbeat_ended": "monitors/heartbeat/test_heartbeat.py::test_calendar_that_ends_degrades_the_monitor",
    "heartbeat_missed": _LATE,
    "heartbeat_failed": (
        "monitors/heartbeat/test_heartbeat.py::test_failure_shows_exit_status_and_first_line_of_the_output"
    ),
    "journal_matched": _JOURNAL_COUNTS,
    "journal_absent": _JOURNAL_SILENCE,
    "certificate_expiring": (
        "monitors/test_certificate.py::test_expired_certificate_fails_and_one_about_to_expire_warns"
    ),
    "certificate_missing": "monitors/test_certificate.py::test_file_without_a_certificate_fails",
    "reboot_required": "monitors/test_reboot.py::test_flag_older_than_grace_is_a_warning_with_the_packages",
    "disk_full": "monitors/disk/test_disk.py::test_full_file_system_fails_and_nearly_full_one_warns",
    "disk_filling": "monitors/disk/test_disk.py::test_full_file_system_fails_and_nearly_full_one_warns",
    "disk_read_only": "monitors/disk/test_disk.py::test_file_system_that_becomes_read_only_fails_until_it_is_writable",
    "disk_failed": "monitors/disk/test_disk.py::test_error_of_the_kernel_is_reported",
    "not_mounted": "monitors/disk/test_disk.py::test_requires_mount_fails_if_the_path_is_only_a_directory",
    "member_down": "dispatch/test_reasons.py::test_reason_of_a_group_states_whether_a_member_is_down_or_degraded",
    "member_degraded": "dispatch/test_reasons.py::test_reason_of_a_group_states_whether_a_member_is_down_or_degraded",
    "members_unknown": "dispatch/test_states.py::test_group_without_known_members_is_inconclusive",
    "fast_burn": "monitors/test_objective.py::test_fast_burn_is_a_failure_and_names_the_end_of_the_budget",
    "slow_burn": "monitors/test_objective.py::test_slow_burn_is_a_warning",
    "objective_no_data": "monitors/test_objective.py::test_objective_without_data_is_inconclusive",
    "history_unavailable": "monitors/test_objective.py::test_unreadable_history_is_inconclusive",
    "prober_stalled": "dispatch/test_dispatcher.py::test_failure_during_a_stall_is_inconclusive",
    "prober_suspended": "dispatch/test_dispatcher.py::test_failure_during_a_suspension_is_inconclusive",
    "prober_exhausted": "monitors/exec/test_exec.py::test_lack_of_descriptors_is_inconclusive",
    "prober_forbidden": "monitors/test_icmp.py::test_forbidden_ping_socket_has_a_hint",
    "prober_source_address": (
        "monitors/test_source_address.py::test_address_that_this_host_does_not_have_is_a_probe_error"
    ),
    "prober_isolated": "dispatch/test_reasons.py::test_reason_is_prober_isolated_when_nearly_all_begin_to_fail",
    "unrecognized": "history/test_failures.py::test_unknown_reason_stays_and_is_read_as_unrecognized",
    "monitor_bug": "dispatch/test_dispatcher.py::test_bug_in_a_type_affects_one_check_which_is_inconclusive",
}


# The options and reasons


@pytest.fixture
def configured(tmp_path: Path) -> Table:
    """A configuration that was read to its end, so that its tables know every key."""
    config = tmp_path / "monitord.toml"
    config.write_text(
        '[monitors.one]\ntype = "none"\n[maintenance.NAME]\n[notifiers.NAME]\n[status.tokens.NAME]\n'
        '[[discover]]\ntype = "file"\n'
        "[[alerts.routes]]\nquiet_hours = {}\n"
    )
    with config.open("a") as file:
        file.write("[reports.NAME]\n[pages.NAME]\n[[pages.NAME.groups]]\n[cluster]\n")
    document = read_document(config)
    settings._read(document, {})
    return document.root


def keys_of(table: Table, prefix: str) -> Iterator[str]:
    """Yield the keys of a table and of the tables in it."""
    for key in table._known:
        children = table._children.get(key, [])
        if not children:
            yield f"{prefix}{key}"
        for child in children:
            yield from keys_of(child, f"{prefix}{key}.")


def common_keys(root: Table) -> set[str]:
    return set(root._children["defaults"][0]._known)


def test_every_common_key_has_a_test(configured: Table) -> None:
    inherited = {"renamed_from", "up_when", "degraded_when", "type"}  # asked for by each monitor itself
    assert common_keys(configured) | inherited == set(COMMON)


def section_keys(root: Table) -> set[str]:
    return {
        key
        for name, (table,) in root._children.items()
        if name not in {"defaults", "monitors"}
        for key in keys_of(table, f"{name}.")
    }


def test_every_key_of_every_section_has_a_test(configured: Table) -> None:
    # A section and a type have the name `cluster`.
    sections = section_keys(configured)
    assert {key for key in OPTIONS if key.split(".")[0] not in MONITOR_TYPES or key in sections} == sections


@pytest.mark.parametrize("name", MONITOR_TYPES)
def test_every_option_of_every_type_has_a_test(configured: Table, tmp_path: Path, name: str) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text("")
    table = read_document(config).root
    MONITOR_TYPES[name].read_options(table)
    options = OPTIONS.keys() - section_keys(configured)
    mapped = {parts[1] for key in options if (parts := key.split("."))[0] == name}
    assert mapped == set(table._known) - set(COMMON)


def test_every_reason_has_a_test() -> None:
    assert {reason.value for reason in Reason} - NOT_GIVEN_YET == set(REASONS)


def test_only_reasons_that_no_code_gives_are_without_a_test() -> None:
    """A failure of `net` becomes the reason of the same name."""
    given = {
        match
        for file in PACKAGE.rglob("*.py")
        if file != PACKAGE / "model.py"
        for match in re.findall(
            r"\b(?:Reason|FailureKind|DnsFailureKind|PingFailureKind)\.([A-Z_]+)", file.read_text()
        )
    }
    assert {reason.value for reason in Reason if reason.name not in given} == NOT_GIVEN_YET


# The named tests


@cache
def functions_of(file: Path) -> Mapping[str, str]:
    """Return the source of each test, with its decorators and the constants of its module that it uses."""
    text = file.read_text()
    lines = text.splitlines()
    tests: dict[str, str] = {}
    constants: dict[str, str] = {}
    for node in ast.parse(text).body:
        decorators = node.decorator_list if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else []
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        source = "\n".join(lines[first - 1 : node.end_lineno])
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                tests[name] = source
            case ast.Assign(targets=[ast.Name(id=name)]):
                constants[name] = source
            case _:
                pass
    return {
        name: "\n".join(
            [source, *(constants[word] for word in {*re.findall(r"\w+", source)} & constants.keys())]
        )
        for name, source in tests.items()
    }


MAPPED = [
    *(pytest.param(key, tests, id=key) for key, tests in (COMMON | OPTIONS).items()),
    *(pytest.param(reason, tests, id=f"reason {reason}") for reason, tests in REASONS.items()),
]


@pytest.mark.parametrize(("what", "tests"), MAPPED)
def test_named_tests_exist_and_mention_the_option_or_reason(what: str, tests: Tests) -> None:
    sources = []
    for test in [tests] if isinstance(tests, str) else tests:
        file, _, name = test.partition("::")
        functions = functions_of(TESTS / file)
        assert name in functions, f"{file} has no test {name}"
        sources.append(functions[name].replace("\\n", " "))
    word = what.rpartition(".")[2]
    # An option of a file may be the argument of a helper, in a unit; a reason may be the member of the enum.
    pattern = rf"(?<![A-Za-z]){word}(?:_s|_bytes)?(?![A-Za-z])|\b{word.upper()}\b"
    assert any(re.search(pattern, source) for source in sources), f"{tests}: nothing speaks of {word}"
