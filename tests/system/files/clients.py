"""Send requests to the status socket on new connections until standard input ends; then print the counts."""

import json
import socket
import sys
import threading

SOCKET = "/run/monitord/status.sock"
REQUEST = b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
TIMEOUT_S = 30.0
PAUSE_S = 0.002

ended = threading.Event()
answered = 0
failed: list[str] = []


def await_end() -> None:
    sys.stdin.read()
    ended.set()


threading.Thread(target=await_end, daemon=True).start()
sys.stdout.write("ready\n")
sys.stdout.flush()
while not ended.wait(PAUSE_S):
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT_S)
            client.connect(SOCKET)
            client.sendall(REQUEST)
            answer = b""
            while data := client.recv(65536):
                answer += data
    except OSError as error:
        failed.append(repr(error))
        continue
    if answer.startswith(b"HTTP/1.1 200 "):
        answered += 1
    else:
        failed.append(repr(answer[:200]))
sys.stdout.write(json.dumps({"answered": answered, "failed": failed}) + "\n")
