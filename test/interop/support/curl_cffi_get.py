"""GET /connection.json with BoringSSL's ECH, by curl-cffi.

Arguments: port, name, root certificate, ECH option or "none", and the browser whose hello is to be sent, or "none".
"""

import json
import sys
from io import BytesIO

from curl_cffi import Curl, CurlError, CurlInfo, CurlOpt

port, name, root, ech, browser = sys.argv[1:]
curl, body = Curl(), BytesIO()
if browser != "none":
    assert curl.impersonate(browser) == 0, f"{browser} is unknown"
curl.setopt(CurlOpt.URL, f"https://{name}:{port}/connection.json".encode())
curl.setopt(CurlOpt.RESOLVE, [f"{name}:{port}:127.0.0.1"])
curl.setopt(CurlOpt.CAINFO, root.encode())
curl.setopt(CurlOpt.WRITEDATA, body)
curl.setopt(CurlOpt.TIMEOUT, 20)
if ech != "none":
    curl.setopt(CurlOpt.ECH, ech.encode())
result = {"error": 0}
try:
    curl.perform()
    result["status"] = curl.getinfo(CurlInfo.RESPONSE_CODE)
except CurlError as error:
    result["error"], result["message"] = int(error.code), str(error)
result["body"] = body.getvalue().decode()
print(json.dumps(result))
