"""mysql-connector-python, the C extension (libmysqlclient)."""

# First: it brings a libssl of its own, which fails to load beside an older one that Python's ssl has loaded.
import _mysql_connector  # noqa: F401

import connector

connector.run(pure=False)
