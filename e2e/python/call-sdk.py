"""Calls the original Python SDK: one call a line of JSON comes in, one answer a line goes out. The first line out names the SDK's methods."""
import inspect
import json
import sys

from NebulaPythonSDK import Nebula

sdk = Nebula(**json.loads(sys.argv[1]))
print(json.dumps([name for name, _ in inspect.getmembers(sdk, inspect.ismethod) if not name.startswith("_")]), flush=True)
for line in sys.stdin:
    call = json.loads(line)
    try:
        answer = getattr(sdk, call["method"])(*call["args"], **call["named"])
    except Exception as error:  # told to the test, which says what it expected
        answer = {"exception": repr(error)}
    print(json.dumps(answer), flush=True)
