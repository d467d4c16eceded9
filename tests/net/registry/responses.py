"""Responses as registries give them: in the form of real ones, with names of documentation."""

import json
from typing import Any

NOT_FOUND = b'{"rdapConformance":["rdap_level_0"],"errorCode":404,"title":"Not Found","lang":"en"}'


def rdap(domain: str = "example.org", **changes: Any) -> bytes:
    """A domain object of RFC 9083, section 5.3, as registries of generic top-level domains send it."""
    document = {
        "rdapConformance": ["rdap_level_0", "icann_rdap_response_profile_1", "redacted"],
        "objectClassName": "domain",
        "handle": "D1234567-LROR",
        "ldhName": domain.upper(),
        "links": [
            {"rel": "self", "href": f"https://rdap.test/domain/{domain}", "type": "application/rdap+json"}
        ],
        "status": ["client transfer prohibited", "server delete prohibited"],
        "entities": [
            {
                "objectClassName": "entity",
                "handle": "292",
                "roles": ["registrar"],
                "publicIds": [{"type": "IANA Registrar ID", "identifier": "292"}],
                "vcardArray": [
                    "vcard",
                    [["version", {}, "text", "4.0"], ["fn", {}, "text", "Example Registrar Inc."]],
                ],
                "entities": [{"objectClassName": "entity", "roles": ["abuse"]}],
            }
        ],
        "events": [
            {"eventAction": "registration", "eventDate": "1995-08-31T04:00:00Z"},
            {"eventAction": "registrar expiration", "eventDate": "2031-01-01T00:00:00Z"},
            {"eventAction": "expiration", "eventDate": "2026-08-30T04:00:00.000Z"},
            {"eventAction": "last update of RDAP database", "eventDate": "2026-01-01T00:00:00Z"},
        ],
        "secureDNS": {"delegationSigned": True, "dsData": []},
        "nameservers": [
            {"objectClassName": "nameserver", "ldhName": "NS1.EXAMPLE.NET"},
            {"objectClassName": "nameserver", "ldhName": "ns2.example.net."},
        ],
    }
    return json.dumps(document | changes).encode()


def expiring(date: str, *status: str) -> bytes:
    return rdap(events=[{"eventAction": "expiration", "eventDate": date}], status=list(status) or ["active"])


ICANN = b"""\
Domain Name: EXAMPLE.IO\r
Registry Domain ID: 0123456789abcdef-DONUTS\r
Registrar WHOIS Server: whois.registrar.test\r
Registrar URL: http://www.registrar.test\r
Updated Date: 2025-09-14T07:48:16Z\r
Creation Date: 2010-07-01T10:40:05Z\r
Registry Expiry Date: 2026-07-01T10:40:05Z\r
Registrar: Example Registrar Inc.\r
Registrar IANA ID: 292\r
Registrar Abuse Contact Email:\r
Domain Status: clientTransferProhibited https://icann.org/epp#clientTransferProhibited\r
Domain Status: clientHold https://icann.org/epp#clientHold\r
Registry Registrant ID: REDACTED FOR PRIVACY\r
Name Server: NS1.EXAMPLE.NET\r
Name Server: NS2.EXAMPLE.NET\r
DNSSEC: unsigned\r
URL of the ICANN WHOIS Data Problem Reporting System: https://icann.org/wicf/\r
>>> Last update of WHOIS database: 2026-01-01T00:00:00Z <<<\r
\r
Terms of Use: Access to WHOIS information is provided to assist persons in determining the contents of a domain name
registration record. You agree that you will not use this data for queries that exceed a limit; access may be denied.
"""

SWEDEN = b"""\
# Copyright (c) 1997- The Swedish Internet Foundation.
# All rights reserved.
state:            active
domain:           example.se
holder:           (not shown)
created:          1997-04-01
modified:         2025-12-05
expires:          2026-12-30
transferred:      2009-03-06
nserver:          ns1.example.net
nserver:          ns2.example.se 192.0.2.2
dnssec:           signed delegation
registry-lock:    unlocked
status:           ok
registrar:        Registrar AB
"""

RUSSIA = b"""\
% TCI Whois Service. Terms of use:
% https://tcinet.ru/documents/whois_ru_rf.pdf (in Russian)

domain:        EXAMPLE.RU
nserver:       ns1.example.net.
nserver:       ns2.example.net.
state:         REGISTERED, DELEGATED, VERIFIED
org:           Example LLC
registrar:     EXAMPLE-RU
admin-contact: https://www.registrar.test/whois
created:       1999-10-27T20:00:00Z
paid-till:     2026-10-31T21:00:00Z
free-date:     2026-12-02
source:        TCI

Last updated on 2026-01-01T00:00:00Z
"""

ITALY = b"""\
*********************************************************************
* Please note that the following result could be a subgroup of      *
* the data contained in the database.                               *
*********************************************************************

Domain:             example.it
Status:             ok
Signed:             no
Created:            1999-12-10 00:00:00
Last Update:        2025-05-06 00:56:09
Expire Date:        2026-04-20

Registrant
  Organization:     Example S.p.A.

Registrar
  Organization:     Registrar s.r.l.
  Name:             REGISTRAR-REG
  DNSSEC:           yes


Nameservers
  ns1.example.net
  ns2.example.net
"""

JAPAN = b"""\
[ JPRS database provides information on network administration. ]
[                                                                ]

Domain Information:
[Domain Name]                   EXAMPLE.JP

[Registrant]                    Example K.K.

[Name Server]                   ns1.example.net
[Name Server]                   ns2.example.net
[Signing Key]

[Created on]                    2001/05/08
[Expires on]                    2026/05/31
[Status]                        Active
[Last Updated]                  2025/06/01 01:05:04 (JST)
"""

JAPAN_CO = b"""\
Domain Information:
a. [Domain Name]                EXAMPLE.CO.JP
g. [Organization]               Example Corporation
p. [Name Server]                ns1.example.net
[State]                         Connected (2026/03/31)
[Registered Date]               1996/03/25
"""

TURKEY = b"""\
** Domain Name: example.com.tr
Domain Status: Active
Frozen Status: -
Transfer Status: The domain is LOCKED to transfer.

** Registrar:
NIC Handle              : exa1
Organization Name       : Example Registrar

** Domain Servers:
ns1.example.net
ns2.example.net

** Additional Info:
Created on..............: 2001-Aug-23.
Expires on..............: 2026-Aug-22.
"""

CHINA = b"""\
Domain Name: example.cn
ROID: 20030311s10001s00033735-cn
Domain Status: clientTransferProhibited
Registrant: Example
Sponsoring Registrar: Example Registrar Ltd.
Name Server: ns1.example.net
Registration Time: 2003-03-17 12:20:05
Expiration Time: 2026-03-17 12:48:36
DNSSEC: unsigned
"""

KOREA = b"""\
query : example.kr

# ENGLISH

Domain Name                 : example.kr
Registrant                  : Example Corp.
Registered Date             : 2003. 04. 14.
Last Updated Date           : 2024. 01. 03.
Expiration Date             : 2026. 04. 14.
Authorized Agency           : Example(http://registrar.test)
DNSSEC                      : unsigned

Primary Name Server
   Host Name                : ns1.example.net
"""

GERMANY = b"""\
% Terms and Conditions of Use
Domain: example.de
Nserver: ns1.example.net
Nserver: ns2.example.net
Status: connect
Changed: 2018-03-12T21:44:25+01:00
"""

WHOIS_NOT_FOUND = {
    "io": b"Domain not found.\r\n>>> Last update of WHOIS database: 2026-01-01T00:00:00Z <<<\r\n",
    "co": b"No Data Found\n>>> Last update <<<\n",
    "se": b'# Copyright (c)\ndomain "example.se" not found.\n',
    "ru": b"% TCI Whois Service.\n\nNo entries found for the selected source(s).\n",
    "it": b"Domain:             example.it\nStatus:             AVAILABLE\n",
    "de": b"Domain: example.de\nStatus: free\n",
    "jp": b"No match!!\n",
    "us": b"No Data Found\r\nURL of the ICANN Whois\r\n",
}

WHOIS_LIMITED = {
    "ru": b"% You have exceeded allowed connection rate.\n",
    "de": b"% Error: 55000000002 Connection refused; access control limit exceeded.\n",
    "io": b"Your connection limit exceeded. Please slow down and try again later.\n",
    "it": b"Too many requests from your address\n",
}

IANA = b"""\
% IANA WHOIS server
% for more information on IANA, visit http://www.iana.org

refer:        127.0.0.1

domain:       TEST

whois:        127.0.0.1

status:       ACTIVE
source:       IANA
"""
