"""mysql-connector-python, the implementation in Python."""

import connector

connector.run(pure=True)
