"""python-socketio as a client: says what it hears as one JSON line each, and does as it is told.

    client.py URL TRANSPORTS ROOM

Commands come as JSON lines: ["emit", event, args…], ["ask", event, args…], ["drop"], ["end"].
"""

import base64
import json
import os
import sys
import threading

import socketio

url, transports, room = sys.argv[1:4]
client = socketio.Client(
    reconnection_delay=0.05, reconnection_delay_max=0.5, randomization_factor=0
)


def shown(value):
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": list(value)}
    if isinstance(value, (list, tuple)):
        return [shown(each) for each in value]
    if isinstance(value, dict):
        return {key: shown(each) for key, each in value.items()}
    return value


def meant(value):
    if isinstance(value, dict) and list(value) == ["base64"]:
        return base64.b64decode(value["base64"])
    if isinstance(value, list):
        return [meant(each) for each in value]
    if isinstance(value, dict):
        return {key: meant(each) for key, each in value.items()}
    return value


telling = threading.Lock()


def tell(*what):
    with telling:
        sys.stdout.write(json.dumps(shown(what)) + "\n")
        sys.stdout.flush()


@client.on("*", namespace="/")
def heard(event, *args):
    tell("heard", event, *args)


@client.on("connect", namespace="/")
def connected():
    tell("connected", client.get_sid("/"), client.transport())


@client.on("disconnect", namespace="/")
def disconnected(*reason):
    tell("disconnected")


client.connect(f"{url}?room={room}", transports=transports.split(","), wait_timeout=30)
for line in sys.stdin:
    command, *args = json.loads(line)
    if command == "emit":
        event, *rest = args
        client.emit(event, tuple(meant(each) for each in rest))
    elif command == "ask":
        event, *rest = args
        tell("answer", client.call(event, tuple(meant(each) for each in rest), timeout=30))
    elif command == "end":
        client.disconnect()
        sys.exit()
# Whoever gave the commands is gone. The threads of the library would try to come back for ever.
os._exit(1)
