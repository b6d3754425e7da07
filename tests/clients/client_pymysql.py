"""PyMySQL. It has no prepared statements, no COM_RESET_CONNECTION and no COM_CHANGE_USER."""

import pymysql
from pymysql.constants import CLIENT, FIELD_TYPE

import transcript

TYPES = {number: name for name, number in vars(FIELD_TYPE).items() if isinstance(number, int) and name != "CHAR"}


class Session:
    errors = (pymysql.MySQLError,)

    def __init__(self, login):
        tls = {"ssl": {"verify_mode": "none"}} if login["tls"] else {"ssl_disabled": True}
        self.connection = pymysql.connect(
            host=login["host"],
            port=login["port"],
            user=login["user"],
            password=login["password"],
            database=login.get("database"),
            client_flag=CLIENT.MULTI_STATEMENTS if login.get("multi") else 0,
            local_infile=True,
            autocommit=None,
            max_allowed_packet=64 << 20,
            **tls,
        )

    @staticmethod
    def describe(error):
        code, *message = error.args if error.args else (None,)
        return {"class": type(error).__name__, "code": code, "message": str(message[0]) if message else None}

    def connection_id(self):
        return self.connection.thread_id()

    def server_version(self):
        return self.connection.get_server_info()

    def query(self, step):
        connection = self.connection
        affected = connection.query(step["sql"])
        results = [self.result(affected, step)]
        while connection._result.has_next:
            try:
                results.append(self.result(connection.next_result(), step))
            except pymysql.MySQLError as error:
                results.append({"error": self.describe(error)})
                break
        return results

    def result(self, affected, step):
        result = self.connection._result
        more = {"warnings": result.warning_count, "status": result.server_status}
        if result.description is None:
            message = (result.message or b"").decode()
            return {"affected": affected, "insert_id": result.insert_id, "info": message, **more}
        columns = [
            [f.name, TYPES.get(f.type_code, f.type_code), f.length, f.scale, f.flags, f.charsetnr, f.table_name, f.org_table]
            for f in result.fields
        ]
        return transcript.resultset(columns, result.rows, step.get("digest"), **more)

    def blob(self, step):
        sent = transcript.pattern(step["bytes"])
        with self.connection.cursor() as cursor:
            affected = cursor.execute("REPLACE INTO blobs VALUES (1, _binary %s)", (sent,))
            cursor.execute("SELECT content FROM blobs WHERE id = 1")
            received = cursor.fetchone()[0]
        return [{"affected": affected, "content": transcript.plain(received), "same": sent == received}]

    def ping(self, step):
        self.connection.ping()
        return [{"ping": True}]

    def init_db(self, step):
        self.connection.select_db(step["database"])
        return self.query({"sql": "SELECT DATABASE()"})

    def close(self):
        self.connection.close()


transcript.main(Session)
