"""Invalid, ambiguous and unusual request heads and bodies with the required status; 0 if the request is valid.

The smuggling vectors are those by which a front end and a back end have been made to disagree about where a
request ends.
"""

import base64
import random
from pathlib import Path

GET = b"GET / HTTP/1.1\r\nHost: h\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\n"
PUNCTUATION = b"!\"$&'()*+,-.:;<=>@[\\]^_`{|}~"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

SMUGGLING: dict[str, tuple[bytes, int]] = {
    "both lengths": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "both lengths, reversed": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
    ),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    "two equal lengths": (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    "lengths in a list": (POST + b"Content-Length: 5, 5\r\n\r\nhello", 400),
    "signed length": (POST + b"Content-Length: +5\r\n\r\nhello", 400),
    "negative length": (POST + b"Content-Length: -5\r\n\r\nhello", 400),
    "hexadecimal length": (POST + b"Content-Length: 0x5\r\n\r\nhello", 400),
    "length with an underscore": (POST + b"Content-Length: 1_0\r\n\r\nhello", 400),
    "length with a blank inside": (POST + b"Content-Length: 1 0\r\n\r\nhello", 400),
    "length in other digits": (POST + "Content-Length: \u0665\r\n\r\nhello".encode(), 400),
    "empty length": (POST + b"Content-Length:\r\n\r\n", 400),
    "length beyond 64 bits": (POST + b"Content-Length: 18446744073709551621\r\n\r\nhello", 400),
    "length before a blank and colon": (POST + b"Content-Length : 5\r\n\r\nhello", 400),
    "chunked not last": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked in two fields": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunked and identity": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        400,
    ),
    "coding before chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "empty coding": (POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
    "coding like chunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "quoted chunked": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    "chunked with a parameter": (POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400),
    "chunked after a vertical tab": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "chunked and a comma": (POST + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", 400),
    "chunked in HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "coding before a blank and colon": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "coding after a folded line": (POST + b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n", 400),
    "folded coding": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "coding after a bare carriage return": (POST + b"X: y\rTransfer-Encoding: chunked\r\n\r\n", 400),
    "coding after a bare line feed": (POST + b"X: y\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "NUL in a value": (POST + b"X: a\0b\r\n\r\n", 400),
    "NUL in a name": (POST + b"X\0: a\r\n\r\n", 400),
    "two Host fields": (GET + b"Host: h\r\n\r\n", 400),
    "two Host fields in different cases": (GET + b"hOST: other\r\n\r\n", 400),
    "chunk size with a sign": (CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size with 0x": (CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size with a blank": (CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n", 400),
    "chunk size after a blank": (CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size beyond 64 bits": (CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n", 400),
    "empty chunk size": (CHUNKED + b"\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size with an underscore": (CHUNKED + b"1_0\r\nhello\r\n0\r\n\r\n", 400),
    "chunk line ends in a line feed": (CHUNKED + b"5\nhello\r\n0\r\n\r\n", 400),
    "chunk line ends in a carriage return": (CHUNKED + b"5\rhello\r\n0\r\n\r\n", 400),
    "line feed in a chunk extension": (CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
    "chunk without its line end": (CHUNKED + b"5\r\nhello0\r\n\r\n", 400),
    "chunk ends in a line feed": (CHUNKED + b"5\r\nhello\n0\r\n\r\n", 400),
    "chunk longer than its size": (CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n", 400),
    "bad trailer": (CHUNKED + b"0\r\nContent-Length : 5\r\n\r\n", 400),
    "folded trailer": (CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n", 400),
    "trailer ends in a line feed": (CHUNKED + b"0\r\nA: b\n\r\n\r\n", 400),
}

MALFORMED: dict[str, tuple[bytes, int]] = {
    "no version": (b"GET /\r\n\r\n", 400),
    "no target": (b"GET HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "two blanks": (b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "tab in the request line": (b"GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "blank before the method": (b" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "blank after the version": (b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: h\n\n", 400),
    "TLS instead of HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", 400),
    "small letters in the version": (b"GET / http/1.1\r\nHost: h\r\n\r\n", 400),
    "two digits in the version": (b"GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    "HTTP/0.9": (b"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\nHost: h\r\n\r\n", 505),
    "RTSP": (b"GET / RTSP/1.0\r\nHost: h\r\n\r\n", 400),
    "unknown method": (b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    "method in small letters": (b"get / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    "CONNECT": (b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 501),
    "method with a colon": (b"GET: / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "Host with a path": (b"GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", 400),
    "Host with a user": (b"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400),
    "Host with a blank": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "Host with two ports": (b"GET / HTTP/1.1\r\nHost: h:1:2\r\n\r\n", 400),
    "Host with a port too high": (b"GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n", 400),
    "Host with a bad bracket": (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
    "two Hosts in one field": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "line without a colon": (GET + b"X y\r\n\r\n", 400),
    "empty name": (GET + b": y\r\n\r\n", 400),
    "name with a blank": (GET + b"X Y: z\r\n\r\n", 400),
    "name with a letter beyond ASCII": (GET + b"X\xe9: z\r\n\r\n", 400),
    "name with a bracket": (GET + b"X(: z\r\n\r\n", 400),
    "control character in a value": (GET + b"X: \x01\r\n\r\n", 400),
    "DEL in a value": (GET + b"X: \x7f\r\n\r\n", 400),
    "folded field": (GET + b"X: y\r\n z\r\n\r\n", 400),
    "field begins with a blank": (b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
    "fragment": (b"GET /#x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "letter beyond ASCII in the target": (b"GET /\xe9 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "relative target": (b"GET x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "asterisk without OPTIONS": (b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "absolute target with a user": (b"GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "absolute target without a host": (b"GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "absolute target with only a port": (b"GET http://:80/x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "absolute target of https": (b"GET https://h/x HTTP/1.1\r\nHost: h\r\n\r\n", 421),
    "absolute target of another scheme": (b"GET ftp://h/x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "half an escape": (b"GET /%4 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "escape that is not hexadecimal": (b"GET /?%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "escaped NUL": (b"GET /a%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "path that is not UTF-8": (b"GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "overlong UTF-8": (b"GET /%c0%af HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "unknown expectation": (POST + b"Expect: a miracle\r\nContent-Length: 1\r\n\r\nx", 417),
    "request line too long": (b"GET /" + b"a" * 300 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    "request line without end": (b"GET /" + b"a" * 300, 414),
    "field too long": (GET + b"X: " + b"a" * 700 + b"\r\n\r\n", 431),
    "field without end": (GET + b"X: " + b"a" * 700, 431),
    "too many fields": (GET + b"X: y\r\n" * 12 + b"\r\n", 431),
    "chunk extension too long": (CHUNKED + b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n", 400),
    "trailers too long": (CHUNKED + b"0\r\n" + b"A: b\r\n" * 2000 + b"\r\n", 400),
}

FINE: dict[str, tuple[bytes, int]] = {
    "plain": (GET + b"\r\n", 0),
    "empty lines before": (b"\r\n\r\n" + GET + b"\r\n", 0),
    "empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 0),
    "Host with a port": (b"GET / HTTP/1.1\r\nHost: h:80\r\n\r\n", 0),
    "Host as IPv6": (b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0),
    "HTTP/1.0 without Host": (b"GET / HTTP/1.0\r\n\r\n", 0),
    "later minor version": (b"GET / HTTP/1.7\r\nHost: h\r\n\r\n", 0),
    "all punctuation": (b"GET /" + PUNCTUATION + b"?" + PUNCTUATION + b"?/ HTTP/1.1\r\nHost: h\r\n\r\n", 0),
    "two slashes": (b"GET //x/y HTTP/1.1\r\nHost: h\r\n\r\n", 0),
    "absolute target": (b"GET HTTP://other:8/x?y HTTP/1.1\r\nHost: h\r\n\r\n", 0),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 0),
    "letters beyond ASCII in a value": (GET + b"X: \xe9\xff\r\n\r\n", 0),
    "tab in a value": (GET + b"X: \ta\tb\t\r\n\r\n", 0),
    "empty value": (GET + b"X:\r\n\r\n", 0),
    "length with blanks around": (POST + b"Content-Length: \t5 \t\r\n\r\nhello", 0),
    "length with leading zeros": (POST + b"Content-Length: 005\r\n\r\nhello", 0),
    "chunked in capitals": (POST + b"Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 0),
    "chunk extension": (CHUNKED + b'5;a=b;c="d e"\r\nhello\r\n0;x\r\n\r\n', 0),
    "chunk extension after a blank": (CHUNKED + b"5 ;a\r\nhello\r\n0\r\n\r\n", 0),
    "chunk size with leading zeros": (CHUNKED + b"0005\r\nhello\r\n000\r\n\r\n", 0),
    "trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\nContent-Length: 7\r\n\r\n", 0),
    "upgrade that is declined": (GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 0),
    "upgrade with a body": (POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello", 0),
    "expectation": (POST + b"Expect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello", 0),
    "unknown expectation in HTTP/1.0": (b"GET / HTTP/1.0\r\nExpect: a miracle\r\n\r\n", 0),
}  # fmt: skip

ALL = SMUGGLING | MALFORMED | FINE

# Inputs of the fuzzer, one of each shape that they came to (fuzz/fuzz_inbox.py).
FOUND = [
    base64.b64decode(line)
    for line in (Path(__file__).parent / "fuzz" / "corpus.txt").read_text().splitlines()
]

FIELDS = [
    b"Host: h", b"Host: h:8", b"Content-Length: 5", b"Content-Length: 5 ", b"content-length:\t5\t",
    b"Content-Length: 0",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: Chunked ", b"X: y",
    b"Connection: close", b"Connection: keep-alive", b"Connection: Upgrade", b"Connection: Upgrade, HTTP2-Settings",
    b"Upgrade: h2c", b"Upgrade: websocket", b"Proxy-Connection: close", b"Expect: 100-continue", b"X: \x80\xff",
    b"X:", b"X: a\tb ", b"Keep-Alive: 5", b"Trailer: x", b"X : y", b" X: y", b"Content-Length: 99999999999999999999",
]  # fmt: skip
LINES = [
    b"GET / HTTP/1.1", b"POST /a?b=c HTTP/1.1", b"OPTIONS * HTTP/1.1", b"HEAD //x HTTP/1.0", b"TRACE / HTTP/1.7",
    b"PUT http://h/x HTTP/1.1", b"DELETE /%41 HTTP/1.1", b'PATCH /a|"<>^`{} HTTP/1.1', b"CONNECT h:1 HTTP/1.1",
    b"GET / HTTP/2.0", b"PRI * HTTP/2.0", b"GET / ICE/1.0", b"QUERY / HTTP/1.1", b"SOURCE / HTTP/1.1",
]  # fmt: skip
BODIES = [
    b"",
    b"hello",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5;x\r\nhello\r\n0\r\nA: b\r\n\r\n",
    b"5\nhello\r\n0\r\n\r\n",
    b"\r\n",
]


def mixed_stream(chance: random.Random) -> bytes:
    """Return up to three requests, most of them valid, sometimes with a changed byte."""
    data = b""
    for _ in range(chance.randint(1, 3)):
        fields = [b"Host: h"] * (chance.random() < 0.9) + chance.choices(FIELDS, k=chance.randint(0, 3))
        data += b"\r\n".join([chance.choice(LINES), *fields, b"", b""]) + chance.choice(BODIES)
    if chance.random() < 0.2:
        place = chance.randrange(len(data))
        data = data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]
    return data
