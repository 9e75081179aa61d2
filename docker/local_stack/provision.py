"""What a new site of docker/compose.yml needs before its server opens.

That is an administrator, storage and settings. They are made through a Girder that nothing else can
reach: the first user of a server is its administrator, and no stranger may be that.
"""

import os
import sys
import tempfile
from pathlib import Path

from girder.models.setting import Setting

from local_stack.girder_site import LAST_SETTING, set_up_site
from local_stack.plan import StackError, kept_secret
from local_stack.rest import GirderRest
from local_stack.services import Service, port_answers

KEPT = Path("/data")  # volumes of the site
PORT = 8080


def main() -> int:
    """Set the site up unless it is; 0 when it is then."""
    if Setting().findOne({"key": LAST_SETTING}):
        return 0  # what people have changed since stays
    with tempfile.TemporaryDirectory() as folder:
        server = Service(
            name="girder",
            command=["girder", "serve", "--host", "127.0.0.1", "--port", str(PORT)],
            data=Path(folder),
            port=PORT,
        )
        try:
            server.start(port_answers(PORT), timeout_s=300)
            set_up_site(
                GirderRest(f"http://127.0.0.1:{PORT}"),
                kept_secret(KEPT / "secrets/admin-password"),
                assetstore=KEPT / "assetstore",
                broker=os.environ["GIRDER_WORKER_BROKER"],
                api_url=os.environ["DEEPLAB_API_URL"],
            )
        except StackError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        finally:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
