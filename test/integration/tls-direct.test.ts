// TLS that begins at once (sslnegotiation=direct): what it saves where the server can, and what happens where it cannot.

import { accessSync, constants, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CreatePoolOptions, createPool } from 'thawpool';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startChaosProxy } from '../lab/chaos-proxy.ts';
import { type Certificates, makeCertificates, whyNoCertificates } from '../support/certificates.ts';
import { startPgBouncer, whyNoPgBouncer } from '../support/pgbouncer.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { through } from './support.ts';

/** Debian's PostgreSQL of before 17. */
const oldBinaries = '/usr/lib/postgresql/15/bin';
const whyNoOldServer = (): string | undefined => {
  try {
    accessSync(join(oldBinaries, 'initdb'), constants.X_OK);
    return undefined;
  } catch {
    return `there is no PostgreSQL 15 in ${oldBinaries}`;
  }
};

const reason = process.env['DATABASE_URL']
  ? 'a server of our own is needed, and DATABASE_URL names another'
  : whyNoCertificates();

describe.skipIf(reason)(`TLS that begins at once${reason ? ` (${reason})` : ''}`, () => {
  let certificates: Certificates;
  let tls: { cert: string; key: string };
  let server: TestPostgres;

  beforeAll(async () => {
    certificates = makeCertificates();
    tls = { cert: join(certificates.folder, 'server.crt'), key: join(certificates.folder, 'server.key') };
    writeFileSync(tls.cert, certificates.local.cert);
    writeFileSync(tls.key, certificates.local.key);
    server = await startPostgres({ tls });
  });
  afterAll(async () => {
    await server?.close();
    certificates?.dispose();
  });

  /** Makes two connections, one after the other, and tells how many had to be opened and how many asked for TLS first. */
  const connect = async (to: Pick<TestPostgres, 'host' | 'port' | 'connectionString'>, options: CreatePoolOptions) => {
    const proxy = await startChaosProxy({ targetHost: to.host, targetPort: to.port });
    const warnings: string[] = [];
    const pool = createPool({
      env: {},
      connectionString: through(proxy.port, to.connectionString),
      sslRootCert: certificates.caFile,
      sslMode: 'verify-full',
      maxIdle: 2,
      onWarning: (message) => warnings.push(message),
      ...options,
    });
    try {
      const first = await pool.connect();
      const second = await pool.connect();
      const { rows } = await second.query<{ ssl: boolean }>('select ssl from pg_stat_ssl where pid = pg_backend_pid()');
      first.release();
      second.release();
      const { opened, frontend } = proxy.snapshot();
      return { ssl: rows[0]?.ssl, opened, asked: frontend['SSLRequest'] ?? 0, warnings };
    } finally {
      await pool.end();
      await proxy.close();
    }
  };

  it('saves the question whether there is TLS, and its answer', async () => {
    expect(await connect(server, {})).toEqual({ ssl: true, opened: 2, asked: 2, warnings: [] });
    expect(await connect(server, { sslNegotiation: 'direct' })).toEqual({
      ssl: true,
      opened: 2,
      asked: 0,
      warnings: [],
    });
  });

  it('is given up for the usual way where the server is older, once and for good, and says so', async (ctx) => {
    const whyNot = whyNoOldServer();
    if (whyNot !== undefined) ctx.skip(whyNot);
    await using old = await startPostgres({ tls, binaries: oldBinaries });
    const seen = await connect(old, { sslNegotiation: 'direct' });
    expect(seen).toMatchObject({ ssl: true, opened: 3, asked: 2 });
    expect(seen.warnings).toHaveLength(1);
    expect(seen.warnings[0]).toContain('PGSSLNEGOTIATION');
  });

  it('is given up for the usual way before a pooler that answers in the clear', async (ctx) => {
    const whyNot = whyNoPgBouncer();
    if (whyNot !== undefined) ctx.skip(whyNot);
    await using bouncer = await startPgBouncer({
      target: server,
      tls,
      settings: { ignore_startup_parameters: 'options,idle_in_transaction_session_timeout' },
    });
    const seen = await connect(bouncer, { sslNegotiation: 'direct', route: 'direct' });
    expect(seen).toMatchObject({ opened: 3, asked: 2 });
    expect(seen.warnings).toHaveLength(1);
  });

  it('is not tried on the route of a pooler', async (ctx) => {
    const whyNot = whyNoPgBouncer();
    if (whyNot !== undefined) ctx.skip(whyNot);
    await using bouncer = await startPgBouncer({ target: server, tls });
    expect(await connect(bouncer, { sslNegotiation: 'direct', route: 'pgbouncer' })).toMatchObject({
      opened: 2,
      asked: 2,
      warnings: [],
    });
  });

  it('does not make a certificate trusted that is not', async () => {
    await expect(
      connect(server, { sslNegotiation: 'direct', sslRootCert: certificates.otherCaFile }),
    ).rejects.toMatchObject({
      code: 'ERR_POOL_CONNECT_TLS',
      message: expect.stringContaining('subject local') as unknown,
    });
  });
});
