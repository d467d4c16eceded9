"""The type `exec`: runs a program for each message.

    type = "exec"
    command = ["/usr/local/bin/page", "ops"]

The program reads the message as JSON from its standard input. Subject and text are in its environment as well. Exit
code 0 means that the message was delivered. The program runs as the user of monitord and in its sandbox.
"""

import json
from collections.abc import Iterable
from typing import ClassVar

from monitord.config import Table
from monitord.net import ProcessFailure, ProcessRequest
from monitord.notifiers.base import DeliveryError, Notifier
from monitord.notifiers.notification import Message
from monitord.options.program import ExecOptions, read_program, secrets_of_program

MAX_RESPONSE_CHARACTERS = 200
MAX_TEXT_BYTES = 32 * 1024
"""Size of MONITORD_TEXT. execve(2) has a limit of 128 KiB. A message with a longer text is sent in parts."""


class ExecNotifier(Notifier[ExecOptions]):
    type_name: ClassVar[str] = "exec"

    @classmethod
    def read_options(cls, table: Table) -> ExecOptions:
        return read_program(table)

    def secrets(self) -> Iterable[str]:
        return secrets_of_program(self.options)

    def fits(self, message: Message) -> bool:
        return len(message.text.encode()) <= MAX_TEXT_BYTES

    async def deliver(self, message: Message, *, deadline: float) -> str:
        program = self.options.request()
        variables = {
            "MONITORD_KEY": message.key,
            "MONITORD_INSTANCE": message.instance,
            "MONITORD_LOCATION": message.location,
            "MONITORD_SUBJECT": message.subject,
            "MONITORD_TEXT": message.shortened(self.fits)
            .text.encode()[:MAX_TEXT_BYTES]
            .decode(errors="ignore"),
        }
        request = ProcessRequest(
            program.command,
            (*program.environment, *((name, text.replace("\0", "")) for name, text in variables.items())),
            program.directory,
            json.dumps(message.as_json()).encode(),
        )
        outcome = await self.tools.processes.run(request, deadline=deadline)
        if isinstance(outcome, ProcessFailure):
            raise DeliveryError(outcome.detail)
        if outcome.is_late:
            raise DeliveryError("timeout: the program did not end in time and was killed")
        output = (
            self.masking.excerpt((outcome.stderr.strip() or outcome.stdout).decode(errors="replace")) or ""
        )
        response = " ".join(output.split())[:MAX_RESPONSE_CHARACTERS]
        if outcome.exit_code != 0:
            end = (
                f"signal {outcome.signal}" if outcome.signal is not None else f"exit code {outcome.exit_code}"
            )
            raise DeliveryError(f"{end}: {response}" if response else end)
        return response or "exit code 0"
