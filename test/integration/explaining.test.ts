// What explains a failed connection is loaded when one has failed: nobody may notice.
import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { controlOf } from '../../src/pg/control.ts';
import { deferred } from '../support/deferred.ts';
import { listenAnywhere } from '../support/free-port.ts';
import { failure, usePools } from './support.ts';

/** Answers the wish for TLS that it has none. */
let server: Server;
let port = 0;
beforeAll(async () => {
  server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end('N'));
  });
  port = await listenAnywhere(server);
});
afterAll(() => void server.close());

const makePool = usePools(() => ({ host: '127.0.0.1', port, user: 'app', sslMode: 'require', max: 3 }));

const whole = (): string =>
  `Could not make a connection: TLS to 127.0.0.1:${port} failed (The server does not support SSL connections). 127.0.0.1 answered that it has no TLS, and going on without it was not allowed. Switch it on at the server (ssl = on; PgBouncer: client_tls_sslmode), or set PGSSLMODE=disable if nobody can listen in between: password and data are then readable. See ERR_POOL_CONNECT_TLS.`;

it('explains to the end the first failure there is, when the process is frozen while the explanation is being loaded', async () => {
  const asked = deferred();
  const gate = deferred();
  vi.doMock('../../src/pg/connect-error.ts', async (original) => {
    asked.resolve();
    await gate.promise;
    return original();
  });
  try {
    const { pool } = makePool();
    const control = controlOf(pool);
    const failed = failure(pool.connect());
    await asked.promise;
    const frozen = control.freeze();
    gate.resolve();
    await frozen;
    await control.thaw(600_000);
    expect((await failed).message).toBe(whole());
    expect((await failure(pool.query('select 1'))).message).toBe(whole());
  } finally {
    vi.doUnmock('../../src/pg/connect-error.ts');
  }
});

it('explains it to all who fail at once, of several pools', async () => {
  const pools = [makePool().pool, makePool().pool];
  const errors = await Promise.all(
    pools.flatMap((pool) => [failure(pool.connect()), failure(pool.query('select 1')), failure(pool.use(() => {}))]),
  );
  expect(errors.map(({ message }) => message)).toEqual(errors.map(() => whole()));
});
