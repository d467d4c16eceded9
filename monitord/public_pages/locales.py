"""Words, dates and numbers of the pages in several languages, as data.

The locales of the host are not used: they may not be installed, and the page would change with the host. Dates follow
the Unicode CLDR (long and medium formats), with the 24-hour clock where it is usual.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum

NARROW_NO_BREAK, NO_BREAK = "\u202f", "\u00a0"

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
NOON = 12


class Language(Enum):
    """The values of `language`."""

    ENGLISH = "en"
    BRITISH = "en-GB"
    AMERICAN = "en-US"
    GERMAN = "de"
    FRENCH = "fr"
    SPANISH = "es"
    DUTCH = "nl"


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a page. `{…}` are replaced."""

    overall: Mapping[str, str]
    """By the value of `OverallState`."""
    no_known_problems: str
    """Instead of "operational", if some services have no data."""
    states: Mapping[str, str]
    """By the value of `PublicState`."""
    posts: Mapping[str, str]
    """By the value of the status of a post."""
    services: str
    other_services: str
    uptime: str
    days_ago: str
    today: str
    no_uptime: str
    problem_days: str
    incidents: str
    no_incidents: str
    older_incidents: str
    incident: str
    ongoing: str
    since: str
    lasted: str
    reason: str
    maintenance: str
    planned: str
    in_progress: str
    until: str
    end_unknown: str
    all_services: str
    more_services: str
    past_announcements: str
    updated: str
    times_in: str
    subscribe: str
    feed: str
    calendar: str
    skip: str


@dataclass(frozen=True, slots=True)
class Locale:
    """`tag`: BCP 47. The formats of a moment are those of a date and a clock together.

    `first`: the first day of a month where it is an ordinal number. `percent`: the format of a percentage.
    """

    tag: str
    words: Words
    date_format: str
    moment_format: str
    clock_format: str = "{hour:02}:{minute:02}"
    months: tuple[str, ...] = ()
    first: str = "1"
    decimal: str = "."
    percent: str = "{}" + NO_BREAK + "%"
    day_unit: str = "d"

    def day_text(self, day: date) -> str:
        """Return "5 November 2026" in this language."""
        return self.date_format.format(
            year=f"{day.year:04}",
            number=f"{day.month:02}",
            padded=f"{day.day:02}",
            day=self.first if day.day == 1 else str(day.day),
            month=self.months[day.month - 1] if self.months else "",
        )

    def moment_text(self, local: datetime) -> str:
        """Return date and time of a local time, to the minute."""
        return self.moment_format.format(date=self.day_text(local), time=self.clock_text(local))

    def clock_text(self, local: datetime) -> str:
        """Return the time of a local time, to the minute."""
        return self.clock_format.format(
            hour=local.hour,
            hour12=local.hour % NOON or NOON,
            minute=local.minute,
            half="AM" if local.hour < NOON else "PM",
        )

    def percent_text(self, ratio: float) -> str:
        """Return a ratio as a percentage with two decimals, rounded down: 100 % means no downtime at all."""
        hundredths = math.floor(ratio * 10_000 + 1e-9)
        text = str(hundredths // 100) if ratio >= 1 else f"{hundredths // 100}.{hundredths % 100:02}"
        return self.percent.format(text.replace(".", self.decimal))

    def duration_text(self, duration_s: float) -> str:
        """Return a duration to the minute: "3 d 4 h", "1 h 20 min", "45 s"."""
        if duration_s < MINUTE_S:
            return f"{int(duration_s)}{NO_BREAK}s"
        if duration_s < HOUR_S:
            return f"{int(duration_s // MINUTE_S)}{NO_BREAK}min"
        if duration_s < DAY_S:
            parts = ((int(duration_s // HOUR_S), "h"), (int(duration_s % HOUR_S // MINUTE_S), "min"))
        else:
            parts = ((int(duration_s // DAY_S), self.day_unit), (int(duration_s % DAY_S // HOUR_S), "h"))
        return " ".join(f"{number}{NO_BREAK}{unit}" for number, unit in parts if number)


_ENGLISH = Words(
    overall={
        "operational": "All services are operational",
        "degraded": "Some services are degraded",
        "partial_outage": "Partial outage",
        "major_outage": "Major outage",
        "maintenance": "Maintenance in progress",
        "no_data": "The state of some services is unknown",
    },
    no_known_problems="No known problems",
    states={
        "operational": "Operational",
        "degraded": "Degraded",
        "outage": "Outage",
        "maintenance": "Maintenance",
        "no_data": "No data",
    },
    posts={
        "investigating": "Investigating",
        "identified": "Identified",
        "monitoring": "Monitoring",
        "resolved": "Resolved",
    },
    services="Services",
    other_services="Other services",
    uptime="Uptime",
    days_ago="{days} days ago",
    today="Today",
    no_uptime="No data",
    problem_days="Last {days} days, with problems: {count}",
    incidents="Incidents",
    no_incidents="No incidents in the last {days} days.",
    older_incidents="Older incidents that are not shown: {count}",
    incident="Outage: {service}",
    ongoing="Ongoing",
    since="since {time}",
    lasted="lasted {duration}",
    reason="Cause",
    maintenance="Maintenance",
    planned="Planned maintenance",
    in_progress="In progress",
    until="until {time}",
    end_unknown="end not known",
    all_services="All services",
    more_services="and {count} more",
    past_announcements="Past announcements",
    updated="Updated {time}",
    times_in="Times in {zone}",
    subscribe="Subscribe",
    feed="Atom feed",
    calendar="Maintenance calendar",
    skip="Skip to the services",
)

_GERMAN = Words(
    overall={
        "operational": "Alle Dienste funktionieren",
        "degraded": "Einige Dienste sind eingeschränkt",
        "partial_outage": "Teilweiser Ausfall",
        "major_outage": "Großflächiger Ausfall",
        "maintenance": "Wartungsarbeiten laufen",
        "no_data": "Der Zustand einiger Dienste ist unbekannt",
    },
    no_known_problems="Keine bekannten Störungen",
    states={
        "operational": "Funktioniert",
        "degraded": "Eingeschränkt",
        "outage": "Ausfall",
        "maintenance": "Wartung",
        "no_data": "Keine Daten",
    },
    posts={
        "investigating": "Wird untersucht",
        "identified": "Ursache gefunden",
        "monitoring": "Wird beobachtet",
        "resolved": "Behoben",
    },
    services="Dienste",
    other_services="Weitere Dienste",
    uptime="Verfügbarkeit",
    days_ago="vor {days} Tagen",
    today="Heute",
    no_uptime="Keine Daten",
    problem_days="Letzte {days} Tage, mit Störungen: {count}",
    incidents="Störungen",
    no_incidents="Keine Störungen in den letzten {days} Tagen.",
    older_incidents="Ältere Störungen, die nicht angezeigt werden: {count}",
    incident="Ausfall: {service}",
    ongoing="Andauernd",
    since="seit {time}",
    lasted="dauerte {duration}",
    reason="Ursache",
    maintenance="Wartung",
    planned="Geplante Wartung",
    in_progress="Läuft",
    until="bis {time}",
    end_unknown="Ende nicht bekannt",
    all_services="Alle Dienste",
    more_services="und {count} weitere",
    past_announcements="Frühere Meldungen",
    updated="Stand: {time}",
    times_in="Zeiten in {zone}",
    subscribe="Abonnieren",
    feed="Atom-Feed",
    calendar="Wartungskalender",
    skip="Zu den Diensten",
)

_FRENCH = Words(
    overall={
        "operational": "Tous les services fonctionnent",
        "degraded": "Certains services sont dégradés",
        "partial_outage": "Panne partielle",
        "major_outage": "Panne majeure",
        "maintenance": "Maintenance en cours",
        "no_data": "L’état de certains services est inconnu",
    },
    no_known_problems="Aucun problème connu",
    states={
        "operational": "Opérationnel",
        "degraded": "Dégradé",
        "outage": "Panne",
        "maintenance": "Maintenance",
        "no_data": "Aucune donnée",
    },
    posts={
        "investigating": "Analyse en cours",
        "identified": "Cause identifiée",
        "monitoring": "Sous surveillance",
        "resolved": "Résolu",
    },
    services="Services",
    other_services="Autres services",
    uptime="Disponibilité",
    days_ago="il y a {days} jours",
    today="Aujourd’hui",
    no_uptime="Aucune donnée",
    problem_days="{days} derniers jours, avec incidents : {count}",
    incidents="Incidents",
    no_incidents="Aucun incident au cours des {days} derniers jours.",
    older_incidents="Incidents plus anciens, non affichés : {count}",
    incident="Panne : {service}",
    ongoing="En cours",
    since="depuis le {time}",
    lasted="durée : {duration}",
    reason="Cause",
    maintenance="Maintenance",
    planned="Maintenance planifiée",
    in_progress="En cours",
    until="jusqu’au {time}",
    end_unknown="fin inconnue",
    all_services="Tous les services",
    more_services="et {count} de plus",
    past_announcements="Annonces passées",
    updated="Mis à jour le {time}",
    times_in="Heures en {zone}",
    subscribe="S’abonner",
    feed="Flux Atom",
    calendar="Calendrier de maintenance",
    skip="Aller aux services",
)

_SPANISH = Words(
    overall={
        "operational": "Todos los servicios funcionan",
        "degraded": "Algunos servicios están degradados",
        "partial_outage": "Interrupción parcial",
        "major_outage": "Interrupción grave",
        "maintenance": "Mantenimiento en curso",
        "no_data": "Se desconoce el estado de algunos servicios",
    },
    no_known_problems="Sin problemas conocidos",
    states={
        "operational": "Operativo",
        "degraded": "Degradado",
        "outage": "Interrupción",
        "maintenance": "Mantenimiento",
        "no_data": "Sin datos",
    },
    posts={
        "investigating": "En investigación",
        "identified": "Causa identificada",
        "monitoring": "En observación",
        "resolved": "Resuelto",
    },
    services="Servicios",
    other_services="Otros servicios",
    uptime="Disponibilidad",
    days_ago="hace {days} días",
    today="Hoy",
    no_uptime="Sin datos",
    problem_days="Últimos {days} días, con problemas: {count}",
    incidents="Incidentes",
    no_incidents="Sin incidentes en los últimos {days} días.",
    older_incidents="Incidentes anteriores que no se muestran: {count}",
    incident="Interrupción: {service}",
    ongoing="En curso",
    since="desde el {time}",
    lasted="duración: {duration}",
    reason="Causa",
    maintenance="Mantenimiento",
    planned="Mantenimiento planificado",
    in_progress="En curso",
    until="hasta el {time}",
    end_unknown="fin desconocido",
    all_services="Todos los servicios",
    more_services="y {count} más",
    past_announcements="Avisos anteriores",
    updated="Actualizado el {time}",
    times_in="Horas en {zone}",
    subscribe="Suscribirse",
    feed="Canal Atom",
    calendar="Calendario de mantenimiento",
    skip="Ir a los servicios",
)

_DUTCH = Words(
    overall={
        "operational": "Alle diensten werken",
        "degraded": "Sommige diensten werken beperkt",
        "partial_outage": "Gedeeltelijke storing",
        "major_outage": "Grote storing",
        "maintenance": "Onderhoud bezig",
        "no_data": "De status van sommige diensten is onbekend",
    },
    no_known_problems="Geen bekende storingen",
    states={
        "operational": "Werkt",
        "degraded": "Beperkt",
        "outage": "Storing",
        "maintenance": "Onderhoud",
        "no_data": "Geen gegevens",
    },
    posts={
        "investigating": "In onderzoek",
        "identified": "Oorzaak gevonden",
        "monitoring": "Onder observatie",
        "resolved": "Opgelost",
    },
    services="Diensten",
    other_services="Overige diensten",
    uptime="Beschikbaarheid",
    days_ago="{days} dagen geleden",
    today="Vandaag",
    no_uptime="Geen gegevens",
    problem_days="Laatste {days} dagen, met storingen: {count}",
    incidents="Storingen",
    no_incidents="Geen storingen in de laatste {days} dagen.",
    older_incidents="Oudere storingen die niet worden getoond: {count}",
    incident="Storing: {service}",
    ongoing="Bezig",
    since="sinds {time}",
    lasted="duurde {duration}",
    reason="Oorzaak",
    maintenance="Onderhoud",
    planned="Gepland onderhoud",
    in_progress="Bezig",
    until="tot {time}",
    end_unknown="einde onbekend",
    all_services="Alle diensten",
    more_services="en nog {count}",
    past_announcements="Eerdere berichten",
    updated="Bijgewerkt {time}",
    times_in="Tijden in {zone}",
    subscribe="Abonneren",
    feed="Atom-feed",
    calendar="Onderhoudskalender",
    skip="Naar de diensten",
)

_ENGLISH_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_GERMAN_MONTHS = (
    *("Januar", "Februar", "März", "April", "Mai", "Juni"),
    *("Juli", "August", "September", "Oktober", "November", "Dezember"),
)
_FRENCH_MONTHS = (
    *("janvier", "février", "mars", "avril", "mai", "juin"),
    *("juillet", "août", "septembre", "octobre", "novembre", "décembre"),
)
_SPANISH_MONTHS = (
    *("enero", "febrero", "marzo", "abril", "mayo", "junio"),
    *("julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"),
)
_DUTCH_MONTHS = (
    *("januari", "februari", "maart", "april", "mei", "juni"),
    *("juli", "augustus", "september", "oktober", "november", "december"),
)

LOCALES: Mapping[Language, Locale] = {
    Language.ENGLISH: Locale("en", _ENGLISH, "{year}-{number}-{padded}", "{date} {time}"),
    Language.BRITISH: Locale(
        "en-GB", _ENGLISH, "{day} {month} {year}", "{date} at {time}", months=_ENGLISH_MONTHS, percent="{}%"
    ),
    Language.AMERICAN: Locale(
        "en-US",
        _ENGLISH,
        "{month} {day}, {year}",
        "{date} at {time}",
        "{hour12}:{minute:02}" + NARROW_NO_BREAK + "{half}",
        _ENGLISH_MONTHS,
        percent="{}%",
    ),
    Language.GERMAN: Locale(
        "de",
        _GERMAN,
        "{day}. {month} {year}",
        "{date}, {time}" + NO_BREAK + "Uhr",
        months=_GERMAN_MONTHS,
        decimal=",",
    ),
    Language.FRENCH: Locale(
        "fr",
        _FRENCH,
        "{day} {month} {year}",
        "{date} à {time}",
        months=_FRENCH_MONTHS,
        first="1er",
        decimal=",",
        percent="{}" + NARROW_NO_BREAK + "%",
        day_unit="j",
    ),
    Language.SPANISH: Locale(
        "es",
        _SPANISH,
        "{day} de {month} de {year}",
        "{date}, {time}",
        months=_SPANISH_MONTHS,
        decimal=",",
    ),
    Language.DUTCH: Locale(
        "nl",
        _DUTCH,
        "{day} {month} {year}",
        "{date} om {time}",
        months=_DUTCH_MONTHS,
        decimal=",",
        percent="{}%",
    ),
}
