// What Node's drivers, ORMs and documented retry settings do with each error. README.md here has the contract.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import path from "node:path";

const require = createRequire(path.join(process.env.CLIENT_MODULES, "node_modules", "x.js"));
const mysql2 = require("mysql2/promise");
const mysql = require("mysql");
const mariadb = require("mariadb");
const { Sequelize } = require("sequelize");
const { default: retryAsPromised } = require("retry-as-promised");
const knex = require("knex");
const { DataSource } = require("typeorm");

// Not through require: some packages do not export their package.json.
const version = (name) => JSON.parse(readFileSync(path.join(process.env.CLIENT_MODULES, "node_modules", name, "package.json"))).version;

const request = JSON.parse(readFileSync(0, "utf8"));
const { host, port, user, database } = request;
const login = { host, port, user, database };

/** One case for one helper: counts how often it is done. */
class Job {
  constructor(helper, { case: name, transaction, before }) {
    this.marker = `retries/${name}/${helper}/`;
    this.transaction = transaction;
    this.before = before.map((sql) => sql.replace("{marker}", this.marker));
    this.runs = 0;
  }

  async do(execute) {
    this.runs += 1;
    for (const sql of this.before) await execute(sql);
    await execute(`INSERT INTO work (marker) VALUES ('${this.marker}')`);
  }
}

/** The transaction that applications write by hand. */
async function byHand(connection, job) {
  const execute = (sql) => connection.query(sql);
  if (!job.transaction) return job.do(execute);
  await connection.beginTransaction();
  try {
    await job.do(execute);
    await connection.commit();
  } catch (error) {
    await connection.rollback().catch(() => {});
    throw error;
  }
}

async function mysql2Pool(job) {
  const pool = mysql2.createPool(login);
  try {
    const connection = await pool.getConnection();
    try {
      await byHand(connection, job);
    } finally {
      connection.release();
    }
  } finally {
    await pool.end();
  }
}

async function mysqljsPool(job) {
  const pool = mysql.createPool(login);
  const call = (target, method, ...args) =>
    new Promise((resolve, reject) => target[method](...args, (error, result) => (error ? reject(error) : resolve(result))));
  try {
    const connection = await call(pool, "getConnection");
    const promised = Object.fromEntries(
      ["query", "beginTransaction", "commit", "rollback"].map((name) => [name, (...args) => call(connection, name, ...args)]),
    );
    try {
      await byHand(promised, job);
    } finally {
      connection.release();
    }
  } finally {
    await call(pool, "end").catch(() => {});
  }
}

async function mariadbPool(job) {
  const pool = mariadb.createPool({ ...login, connectionLimit: 1 });
  try {
    const connection = await pool.getConnection();
    try {
      await byHand(connection, job);
    } finally {
      await connection.release();
    }
  } finally {
    await pool.end();
  }
}

const sequelizeOf = (options) =>
  new Sequelize(database, user, "", { host, port, dialect: "mysql", dialectModule: require("mysql2"), logging: false, ...options });

// What Sequelize's users are told to match; `retry` of its options works on single queries.
const MATCH = [
  /Deadlock/i,
  /SequelizeConnectionError/,
  /SequelizeConnectionRefusedError/,
  /SequelizeHostNotFoundError/,
  /SequelizeHostNotReachableError/,
  /SequelizeInvalidConnectionError/,
  /SequelizeConnectionTimedOutError/,
  /ETIMEDOUT/,
  /ECONNRESET/,
  /ECONNREFUSED/,
  /EHOSTUNREACH/,
  /EPIPE/,
  /Lost connection/i,
  /Connection lost/i,
];

async function sequelizeWork(sequelize, job) {
  try {
    if (job.transaction) {
      await sequelize.transaction((transaction) => job.do((sql) => sequelize.query(sql, { transaction })));
    } else {
      await job.do((sql) => sequelize.query(sql));
    }
  } finally {
    await sequelize.close();
  }
}

const sequelizeDefault = (job) => sequelizeWork(sequelizeOf({}), job);

const sequelizeOption = (job) => sequelizeWork(sequelizeOf({ retry: { max: 3, match: MATCH } }), job);

/** retry-as-promised around the whole transaction, as its own documentation has it. */
const sequelizeAround = (job) => retryAsPromised(() => sequelizeWork(sequelizeOf({}), job), { max: 3, match: MATCH });

/** Without `match` it repeats everything. */
const sequelizeMatchless = (job) => retryAsPromised(() => sequelizeWork(sequelizeOf({}), job), { max: 3 });

async function knexTransaction(job) {
  const db = knex({ client: "mysql2", connection: login, pool: { min: 0, max: 1 } });
  try {
    if (job.transaction) {
      await db.transaction((transaction) => job.do((sql) => transaction.raw(sql)));
    } else {
      await job.do((sql) => db.raw(sql));
    }
  } finally {
    await db.destroy();
  }
}

async function typeormTransaction(job) {
  const source = new DataSource({ type: "mysql", host, port, username: user, password: "", database, driver: require("mysql2") });
  await source.initialize();
  try {
    if (job.transaction) {
      await source.transaction((entities) => job.do((sql) => entities.query(sql)));
    } else {
      await job.do((sql) => source.query(sql));
    }
  } finally {
    await source.destroy();
  }
}

const HELPERS = [
  ["mysql2.pool", version("mysql2"), "none", mysql2Pool],
  ["mysqljs.pool", version("mysql"), "none", mysqljsPool],
  ["mariadb-js.pool", version("mariadb"), "none", mariadbPool],
  ["sequelize", version("sequelize"), "none", sequelizeDefault],
  ["sequelize.retry-option", version("sequelize"), "none", sequelizeOption],
  ["sequelize.retry-as-promised", version("retry-as-promised"), "transactions", sequelizeAround],
  ["sequelize.retry-without-match", version("retry-as-promised"), "careless", sequelizeMatchless],
  ["knex", version("knex"), "none", knexTransaction],
  ["typeorm", version("typeorm"), "none", typeormTransaction],
];

/** The server's number, however deep a library has wrapped it. */
function codeOf(error) {
  for (let inner = error; inner; inner = inner.parent ?? inner.original ?? inner.cause ?? inner.driverError) {
    if (Number.isInteger(inner.errno)) return inner.errno;
  }
  return null;
}

for (const [helper, itsVersion, retries, work] of HELPERS) {
  if (request.helpers.length > 0 && !request.helpers.some((name) => helper.startsWith(name))) continue;
  for (const one of request.cases) {
    const job = new Job(helper, one);
    let told = null;
    try {
      await work(job);
    } catch (error) {
      const name = error.name === "Error" && error.code ? String(error.code) : error.name;
      told = { code: codeOf(error), class: name, message: String(error.message) };
    }
    console.log(JSON.stringify({ helper, version: itsVersion, case: one.case, retries, runs: job.runs, error: told }));
  }
}
process.exit(0);
