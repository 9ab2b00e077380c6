REQUIREMENTS = ["litserve==0.2.*"]
PACKAGES = ["wrk"]
QUICK = False

from contextlib import ExitStack  # noqa: E402

from bench.serve import client  # noqa: E402

SERVER = """
import sys
import litserve
from itertools import count

class Noop(litserve.LitAPI):
    def setup(self, device): self.ids = count()
    def decode_request(self, request): return request["input"]
    def predict(self, x): return x[0]
    def encode_response(self, output): return {"query_id": next(self.ids), "output": output, "default": False}

if __name__ == "__main__":
    server = litserve.LitServer(Noop(api_path="/noop"), accelerator="cpu", workers_per_device=1, timeout=30)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="warning")
"""

running = ExitStack()
address = f"127.0.0.1:{client.free_port()}"
rows = client.Rows(address, "/noop", lambda: QUICK)
noop_http, noop_http_cpu, noop_http_p50_c1 = rows.noop_http, rows.noop_http_cpu, rows.noop_http_p50_c1


def setup():
    import tempfile

    folder = running.enter_context(tempfile.TemporaryDirectory())
    path = f"{folder}/server.py"  # its workers are spawned: they import it
    with open(path, "w") as file:
        file.write(SERVER)
    running.enter_context(client.process([path, address.rsplit(":", 1)[1]], address, "/noop"))


def teardown():
    running.close()
