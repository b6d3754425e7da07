"""What Python's drivers, ORMs and documented retry recipes do with each error. README.md here has the contract."""

import contextlib
import json
import sys

import mysql.connector
import peewee
import pymysql
import sqlalchemy
import tenacity
from playhouse.shortcuts import ReconnectMixin

PYMYSQL = pymysql.VERSION_STRING
pymysql.version_info = (2, 2, 7, "final", 0)  # Django asks for mysqlclient of 2.2 or newer; this stands in for it.
pymysql.install_as_MySQLdb()

import django  # noqa: E402
from django.conf import settings  # noqa: E402

request = json.load(sys.stdin)
HOST, PORT, USER, DATABASE = (request[name] for name in ("host", "port", "user", "database"))
# No TLS, so that what is asked for can be counted on the way.
LOGIN = {"host": HOST, "port": PORT, "user": USER, "database": DATABASE, "ssl_disabled": True}
ROLLED_BACK = (1213, 1205)


class Job:
    """One case for one helper: counts how often it is done."""

    def __init__(self, helper, case):
        self.marker = f"retries/{case['case']}/{helper}/"
        self.transaction = case["transaction"]
        self.before = [sql.replace("{marker}", self.marker) for sql in case["before"]]
        self.runs = 0

    def do(self, execute):
        self.runs += 1
        for sql in self.before:
            execute(sql)
        execute(f"INSERT INTO work (marker) VALUES ('{self.marker}')")


def code_of(error):
    """The server's number, however deep a library has wrapped it."""
    while error is not None:
        inner = getattr(error, "orig", None) or error.__cause__
        if inner is None:
            break
        error = inner
    code = getattr(error, "errno", None) or (error.args[0] if error.args else None)
    return code if isinstance(code, int) else None


# Drivers: nothing retries by itself.


def pymysql_plain(job):
    connection = pymysql.connect(**LOGIN, autocommit=not job.transaction)
    try:
        with connection.cursor() as cursor:
            job.do(cursor.execute)
        connection.commit()
    finally:
        connection.close()


def connector_pool(job):
    # A pool keeps the settings of whoever made it.
    pool = "transactions" if job.transaction else "autocommit"
    connection = mysql.connector.connect(
        **LOGIN, autocommit=not job.transaction, pool_name=pool, pool_size=1
    )
    try:
        cursor = connection.cursor(buffered=True)

        def execute(sql):
            cursor.execute(sql)
            if cursor.with_rows:
                cursor.fetchall()

        job.do(execute)
        if job.transaction:
            connection.commit()
    except mysql.connector.Error:
        # The pool resets it, which fails as well while no server is there, and would be the error that is told.
        with contextlib.suppress(mysql.connector.Error):
            connection.close()
        raise
    connection.close()


# SQLAlchemy.


def engine(driver):
    url = f"mysql+{driver}://{USER}@{HOST}:{PORT}/{DATABASE}"
    return sqlalchemy.create_engine(url, pool_pre_ping=True, connect_args={"ssl_disabled": True})


def sqlalchemy_work(an_engine, job):
    if job.transaction:
        with an_engine.begin() as connection:
            job.do(lambda sql: connection.execute(sqlalchemy.text(sql)))
    else:
        with an_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            job.do(lambda sql: connection.execute(sqlalchemy.text(sql)))


def sqlalchemy_pre_ping(job):
    sqlalchemy_work(engine("pymysql"), job)


def sqlalchemy_connector(job):
    sqlalchemy_work(engine("mysqlconnector"), job)


def sqlalchemy_by_number(job):
    """The recipe of docs/retries.md."""
    an_engine = engine("pymysql")
    for attempt in range(3):
        try:
            return sqlalchemy_work(an_engine, job)
        except sqlalchemy.exc.DBAPIError as error:
            if attempt == 2 or error.orig.args[0] not in ROLLED_BACK:
                raise


def sqlalchemy_on_disconnect(job):
    """Repeats what SQLAlchemy takes for a disconnect (`connection_invalidated`), and rollbacks."""
    an_engine = engine("pymysql")
    for attempt in range(3):
        try:
            return sqlalchemy_work(an_engine, job)
        except sqlalchemy.exc.DBAPIError as error:
            if attempt == 2 or not (error.connection_invalidated or error.orig.args[0] in ROLLED_BACK):
                raise


def sqlalchemy_tenacity_operational(job):
    """Often seen: every OperationalError is repeated."""
    an_engine = engine("pymysql")
    tenacity.retry(
        retry=tenacity.retry_if_exception_type(sqlalchemy.exc.OperationalError),
        stop=tenacity.stop_after_attempt(3),
        reraise=True,
    )(lambda: sqlalchemy_work(an_engine, job))()


# Django.


def django_setup():
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.mysql",
                "HOST": HOST, "PORT": PORT, "USER": USER, "NAME": DATABASE,
                "CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True, "OPTIONS": {"ssl_disabled": True},
            }
        }
    )
    django.setup()


def django_atomic(job):
    from django.db import close_old_connections, connection, transaction

    # What Django does before each request.
    close_old_connections()

    def execute(sql):
        with connection.cursor() as cursor:
            cursor.execute(sql)

    if job.transaction:
        with transaction.atomic():
            job.do(execute)
    else:
        job.do(execute)


def django_by_number(job):
    """The recipe of docs/retries.md."""
    from django.db import OperationalError

    for attempt in range(3):
        try:
            return django_atomic(job)
        except OperationalError as error:
            if attempt == 2 or error.args[0] not in ROLLED_BACK:
                raise


# peewee.


class Reconnecting(ReconnectMixin, peewee.MySQLDatabase):
    pass


def peewee_reconnect(job):
    database = Reconnecting(DATABASE, host=HOST, port=PORT, user=USER, ssl_disabled=True)
    database.connect()
    try:
        if job.transaction:
            with database.atomic():
                job.do(database.execute_sql)
        else:
            job.do(database.execute_sql)
    finally:
        database.close()


HELPERS = [
    ("pymysql", PYMYSQL, "none", pymysql_plain),
    ("connector-python.pool", mysql.connector.__version__, "none", connector_pool),
    ("sqlalchemy.pre-ping", sqlalchemy.__version__, "none", sqlalchemy_pre_ping),
    ("sqlalchemy.connector", sqlalchemy.__version__, "none", sqlalchemy_connector),
    ("sqlalchemy.by-number", sqlalchemy.__version__, "transactions", sqlalchemy_by_number),
    ("sqlalchemy.on-disconnect", sqlalchemy.__version__, "transactions", sqlalchemy_on_disconnect),
    ("sqlalchemy.tenacity-operational", sqlalchemy.__version__, "careless", sqlalchemy_tenacity_operational),
    ("django.atomic", django.__version__, "none", django_atomic),
    ("django.by-number", django.__version__, "transactions", django_by_number),
    ("peewee.ReconnectMixin", peewee.__version__, "none", peewee_reconnect),
]

django_setup()
for helper, version, retries, work in HELPERS:
    if request["helpers"] and not any(helper.startswith(name) for name in request["helpers"]):
        continue
    for case in request["cases"]:
        job = Job(helper, case)
        told = None
        try:
            work(job)
        except Exception as error:  # noqa: BLE001 (whatever it is: it is what the application gets)
            told = {"code": code_of(error), "class": type(error).__name__, "message": str(error)}
        line = {"helper": helper, "version": str(version), "case": case["case"], "retries": retries}
        print(json.dumps({**line, "runs": job.runs, "error": told}), flush=True)
