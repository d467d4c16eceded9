"""A small cluster of real daemons without faults, so that the driver of the chaos runs works when it is needed."""

import pytest

from bench.cluster import Options, Run, run, table
from bench.cluster_network import why_no_sandbox


def small_run(quorum: str) -> Run:
    if problem := why_no_sandbox():
        pytest.skip(problem)
    pytest.importorskip("psycopg", reason="python3-psycopg is not installed")
    return run(Options(seconds=8.0, monitors=12, quorum=quorum, with_faults=False, failure_ratio=0.0))


def test_cluster_without_faults_notifies_each_outage_of_a_majority_once() -> None:
    found = small_run("majority")
    assert found.judgement.is_faultless, table([found])
    assert found.judgement.notified
    assert found.tracebacks == 0
