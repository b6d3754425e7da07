"""mysql-connector-python, the C extension (libmysqlclient)."""

import os

# It has no option to allow mysql_clear_password; libmysqlclient looks here, once, when it is loaded.
os.environ["LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN"] = "1"

# First: it brings a libssl of its own, which fails to load beside an older one that Python's ssl has loaded.
import _mysql_connector  # noqa: F401

import connector

connector.run(pure=False)
