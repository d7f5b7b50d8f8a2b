"""Makes the calls on standard input (a JSON list) by a generated client, and prints a JSON list of what each answered.

Arguments: the folder that the client's package is in, the server's URL, user and password.
"""
import base64
import importlib
import json
import sys

folder, url, user, password = sys.argv[1:]
sys.path.insert(0, folder)
models = importlib.import_module("generated.models")
client = importlib.import_module("generated").AuthenticatedClient(
    base_url=url, prefix="Basic", token=base64.b64encode(f"{user}:{password}".encode()).decode()
)

answers = []
for call in json.load(sys.stdin):
    operation = importlib.import_module(f"generated.api.{call['operation']}")
    more = {}
    if "body" in call:
        more["body"] = getattr(models, call["model"]).from_dict(call["body"])
    response = operation.sync_detailed(*call["args"], client=client, **more)
    parsed = response.parsed
    answers.append(
        {"status": int(response.status_code), "model": type(parsed).__name__, "value": parsed.to_dict() if hasattr(parsed, "to_dict") else parsed}
    )
print(json.dumps(answers))
