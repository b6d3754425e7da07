"""mysql-connector-python, for both its implementations (client_connector_pure.py, client_connector_c.py)."""

import mysql.connector
from mysql.connector.constants import ClientFlag, FieldType

import transcript


def run(pure):
    class Session(ConnectorSession):
        use_pure = pure

    transcript.main(Session)


class ConnectorSession:
    errors = (mysql.connector.Error,)
    use_pure = True

    def __init__(self, login):
        # Multi-statements are on by default in this client.
        flags = [] if login.get("multi") else [-ClientFlag.MULTI_STATEMENTS]
        database = {"database": login["database"]} if login.get("database") else {}
        self.connection = mysql.connector.connect(
            host=login["host"],
            port=login["port"],
            user=login["user"],
            password=login["password"],
            ssl_disabled=not login["tls"],
            allow_local_infile=True,
            client_flags=flags,
            use_pure=self.use_pure,
            autocommit=True,
            **database,
        )

    @staticmethod
    def describe(error):
        return {"class": type(error).__name__, "code": error.errno, "sqlstate": error.sqlstate, "message": str(error.msg)}

    def connection_id(self):
        return self.connection.connection_id

    def server_version(self):
        return self.connection.server_info

    def query(self, step):
        with self.connection.cursor() as cursor:
            cursor.execute(step["sql"])
            results = [self.result(cursor, step)]
            while True:
                try:
                    if not cursor.nextset():
                        return results
                except mysql.connector.Error as error:
                    return results + [{"error": self.describe(error)}]
                results.append(self.result(cursor, step))

    def execute(self, step):
        with self.connection.cursor(prepared=True) as cursor:
            results = []
            for params in step["params"]:
                try:
                    cursor.execute(step["sql"], tuple(map(transcript.value_of, params)))
                    results.append(self.result(cursor, step))
                except mysql.connector.Error as error:
                    results.append({"error": self.describe(error)})
            return results

    @staticmethod
    def result(cursor, step):
        if not cursor.description:
            return {"affected": cursor.rowcount, "insert_id": cursor.lastrowid, "warnings": cursor.warning_count}
        columns = [[c[0], FieldType.get_info(c[1]), *c[6:]] for c in cursor.description]
        rows = cursor.fetchall()
        return transcript.resultset(columns, rows, step.get("digest"), warnings=cursor.warning_count)

    def blob(self, step):
        sent = transcript.pattern(step["bytes"])
        with self.connection.cursor(prepared=True) as cursor:
            cursor.execute("REPLACE INTO blobs VALUES (1, ?)", (sent,))
            affected = cursor.rowcount
        # As text: the Python implementation cuts a binary row of more than 16 MB.
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT content FROM blobs WHERE id = 1")
            received = bytes(cursor.fetchall()[0][0])
        return [{"affected": affected, "content": transcript.plain(received), "same": sent == received}]

    def ping(self, step):
        self.connection.ping()
        return [{"ping": True}]

    def init_db(self, step):
        self.connection.cmd_init_db(step["database"])
        return self.query({"sql": "SELECT DATABASE()"})

    def reset(self, step):
        self.connection.cmd_reset_connection()
        return [{"reset": True}]

    def change_user(self, step):
        self.connection.cmd_change_user(step["user"], step["password"], step["database"])
        return [{"changed": True}]

    def close(self):
        self.connection.close()
