// mysql2 for Node. Reads a request from standard input, writes a transcript (README.md).
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

// The packages are in a cache directory, not beside this file.
const require = createRequire(process.env.CLIENT_MODULES + '/');
const mysql = require('mysql2');
const typeNames = mysql.Types;

const BLOCK = 65536;
const sha256 = (data) => createHash('sha256').update(data);

function plain(value) {
  if (Buffer.isBuffer(value)) {
    if (value.length > 256) return `bytes(${value.length}, sha256 ${sha256(value).digest('hex')})`;
    return '0x' + value.toString('hex');
  }
  if (value instanceof Date) return `Date(${isNaN(value) ? 'invalid' : value.toISOString()})`;
  return value;
}

function pattern(size) {
  const blocks = [];
  for (let i = 0; i * BLOCK < size; i++) {
    blocks.push(Buffer.alloc(BLOCK, sha256(String(i)).digest()));
  }
  return Buffer.concat(blocks).subarray(0, size);
}

const describe = (error) => ({
  code: error.errno ?? error.code ?? null,
  sqlstate: error.sqlState ?? null,
  message: String(error.sqlMessage ?? error.message),
});

// One resultset or OK of what the driver hands out.
function result(rows, fields, step) {
  if (!Array.isArray(rows)) {
    return {
      affected: rows.affectedRows,
      insert_id: rows.insertId,
      info: rows.info,
      warnings: rows.warningStatus,
      status: rows.serverStatus,
      session_changes: rows.stateChanges ?? null,
    };
  }
  const columns = fields.map((f) => [
    f.name, typeNames[f.columnType] ?? f.columnType, f.columnLength, f.decimals, f.flags, f.characterSet,
    f.schema, f.table, f.orgTable, f.orgName, f.extendedTypeName ?? null, f.extendedFormat ?? null,
  ]);
  if (!step.digest) return { columns, rows: rows.map((row) => row.map(plain)) };
  const hash = createHash('sha256');
  for (const row of rows) hash.update(JSON.stringify(row.map(plain)));
  return { columns, rows: rows.length, sha256: hash.digest('hex') };
}

// Several results come as an array whose fields are arrays too (or undefined, for an OK).
function results(rows, fields, step) {
  const several = Array.isArray(fields) && fields.some((f) => f === undefined || Array.isArray(f));
  if (!several) return [result(rows, fields, step)];
  return rows.map((r, i) => result(r, fields[i], step));
}

const ask = (connection, method, ...args) =>
  new Promise((resolve) => {
    connection[method](...args, (error, rows, fields) => resolve({ error, rows, fields }));
  });

async function asked(connection, step, method, ...args) {
  const { error, rows, fields } = await ask(connection, method, ...args);
  return error ? [{ error: describe(error) }] : results(rows, fields, step);
}

const steps = {
  query: (connection, step) =>
    asked(connection, step, 'query', {
      sql: step.sql,
      rowsAsArray: true,
      infileStreamFactory: (path) => createReadStream(path),
    }),

  async execute(connection, step) {
    const all = [];
    for (const params of step.params) {
      const values = params.map((p) => (p && typeof p === 'object' ? Buffer.from(p.hex, 'hex') : p));
      all.push(...(await asked(connection, step, 'execute', { sql: step.sql, values, rowsAsArray: true })));
    }
    return all;
  },

  async blob(connection, step) {
    const sent = pattern(step.bytes);
    const insert = await ask(connection, 'execute', 'REPLACE INTO blobs VALUES (1, ?)', [sent]);
    if (insert.error) return [{ error: describe(insert.error) }];
    const select = await ask(connection, 'query', 'SELECT content FROM blobs WHERE id = 1');
    if (select.error) return [{ error: describe(select.error) }];
    const received = select.rows[0].content;
    return [{ affected: insert.rows.affectedRows, content: plain(received), same: sent.equals(received) }];
  },

  async kill_query(connection, step, login) {
    const began = Date.now();
    const running = steps.query(connection, { sql: step.sql });
    const killer = (await open(login)).connection;
    const watch = `SELECT COUNT(*) AS n FROM information_schema.processlist WHERE info = '${step.sql}'`;
    while (Date.now() - began < 10_000) {
      const { rows } = await ask(killer, 'query', watch);
      if (Number(rows?.[0].n) === 1) break;
      await new Promise((wake) => setTimeout(wake, 50));
    }
    const kill = await steps.query(killer, { sql: `KILL QUERY ${connection.threadId}` });
    killer.destroy();
    const outcome = await running;
    const early = { ended_early: Date.now() - began < 15_000 };
    return [{ kill }, ...outcome, early, ...(await steps.query(connection, { sql: 'SELECT 1' }))];
  },

  async server(connection) {
    const { error, rows } = await ask(connection, 'query', 'SELECT CONNECTION_ID() AS id');
    if (error) return [{ error: describe(error) }];
    const greeting = connection._handshakePacket;
    return [{
      server_version: greeting.serverVersion,
      id_is_connection_id: Number(rows[0].id) === connection.threadId,
      charset: greeting.characterSet,
      status: greeting.statusFlags,
    }];
  },

  async wait(connection, step) {
    const began = Date.now();
    while (!existsSync(step.file) && Date.now() - began < 10_000) {
      await new Promise((wake) => setTimeout(wake, 10));
    }
    return [{ waited: existsSync(step.file) }];
  },

  async ping(connection) {
    const { error } = await ask(connection, 'ping');
    return [error ? { error: describe(error) } : { ping: true }];
  },

  async reset(connection) {
    const { error } = await ask(connection, 'reset');
    return [error ? { error: describe(error) } : { reset: true }];
  },

  async change_user(connection, step) {
    const { user, password, database } = step;
    const { error } = await ask(connection, 'changeUser', { user, password, database });
    return [error ? { error: describe(error) } : { changed: true }];
  },
};

function open(login) {
  const connection = mysql.createConnection({
    host: login.host,
    port: login.port,
    user: login.user,
    password: login.password,
    database: login.database,
    ssl: login.tls ? { rejectUnauthorized: false } : undefined,
    multipleStatements: Boolean(login.multi),
    enableCleartextPlugin: Boolean(login.clear_password),
    supportBigNumbers: true,
    bigNumberStrings: true,
  });
  // An error with nobody to tell it to must not end the whole run; the next step reports it.
  connection.on('error', () => {});
  return new Promise((resolve) => {
    connection.connect((error) => resolve({ connection, error }));
  });
}

function emit(op, step, all) {
  for (const one of all) console.log(JSON.stringify({ op: op.name, step, ...one }));
}

const request = JSON.parse(readFileSync(0, 'utf8'));
for (const op of request.ops) {
  const login = { ...request.login, ...op.login };
  const { connection, error } = await open(login);
  if (error) {
    emit(op, 'connect', [{ error: describe(error) }]);
    continue;
  }
  for (const [number, step] of op.steps.entries()) {
    const run = steps[step.do];
    const unsupported = [{ unsupported: `no ${step.do} in this client` }];
    emit(op, number, run ? await run(connection, step, login) : unsupported);
  }
  await ask(connection, 'end');
}
