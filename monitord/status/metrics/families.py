"""Metric families with their values."""

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


def gauge(name: str, description: str, value: float) -> Metric:
    return GaugeMetricFamily(name, description, value=value)


def counter(name: str, description: str, value: float) -> Metric:
    return CounterMetricFamily(name, description, value=value)


def by_label(
    name: str,
    description: str,
    label: str,
    values: Mapping[str, float],
    kind: type[GaugeMetricFamily | CounterMetricFamily] = GaugeMetricFamily,
) -> Metric:
    family = kind(name, description, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family
