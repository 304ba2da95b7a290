// TLS against a real server: what a wrong authority or name says, and that nothing goes on without.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CreatePoolOptions } from 'thawpool';
import { createPool } from 'thawpool';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Certificates, makeCertificates, whyNoCertificates } from '../support/certificates.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { failure } from './support.ts';

const given = process.env['DATABASE_URL'];
const reason = given ? 'a server of our own is needed, and DATABASE_URL names another' : whyNoCertificates();

describe.skipIf(reason)(`a server with TLS${reason ? ` (${reason})` : ''}`, () => {
  let certificates: Certificates;
  let server: TestPostgres;

  beforeAll(async () => {
    certificates = makeCertificates();
    const [cert, key] = [join(certificates.folder, 'server.crt'), join(certificates.folder, 'server.key')];
    writeFileSync(cert, certificates.local.cert);
    writeFileSync(key, certificates.local.key);
    server = await startPostgres({ tls: { cert, key } });
  });
  afterAll(async () => {
    await server?.close();
    certificates?.dispose();
  });

  const query = async (options: CreatePoolOptions, of: TestPostgres = server): Promise<unknown> => {
    const pool = createPool({ env: {}, connectionString: of.connectionString, acquireTimeoutMillis: 2000, ...options });
    try {
      const { rows } = await pool.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()');
      return rows;
    } finally {
      await pool.end();
    }
  };

  it('is spoken to encrypted, and verified', async () => {
    const sslRootCert = certificates.caFile;
    for (const sslMode of ['verify-full', 'verify-ca', 'require']) {
      expect(await query({ sslMode, sslRootCert })).toEqual([{ ssl: true }]);
    }
    expect(await query({ env: { PGSSLMODE: 'verify-full', PGSSLROOTCERT: sslRootCert } })).toEqual([{ ssl: true }]);
    expect(await query({ sslMode: 'no-verify' })).toEqual([{ ssl: true }]);
    expect(await query({ sslMode: 'disable' })).toEqual([{ ssl: false }]);
    expect(await query({})).toEqual([{ ssl: false }]);
  });

  it('is refused when nobody knows its authority', async () => {
    const error = await failure(query({ sslMode: 'verify-full' }));
    expect(error.code).toBe('ERR_POOL_CONNECT_TLS');
    expect(error.message).toMatch(
      new RegExp(
        `^Could not make a connection: TLS to 127\\.0\\.0\\.1:${server.port} failed \\(unable to verify the first certificate.*\\)\\. .*PGSSLROOTCERT.* See ERR_POOL_CONNECT_TLS\\.$`,
      ),
    );
    const other = await failure(query({ sslMode: 'verify-ca', sslRootCert: certificates.otherCaFile }));
    expect(other.code).toBe('ERR_POOL_CONNECT_TLS');
    expect(other.message).toContain(certificates.otherCaFile);
  });

  it('is refused under another name, unless only the authority matters', async () => {
    const [cert, key] = [join(certificates.folder, 'other.crt'), join(certificates.folder, 'other.key')];
    writeFileSync(cert, certificates.elsewhere.cert);
    writeFileSync(key, certificates.elsewhere.key);
    await using other = await startPostgres({ tls: { cert, key } });
    const sslRootCert = certificates.caFile;
    const error = await failure(query({ sslMode: 'verify-full', sslRootCert }, other));
    expect(error.code).toBe('ERR_POOL_CONNECT_TLS');
    expect(error.message).toMatch(
      new RegExp(
        `^Could not make a connection: TLS to 127\\.0\\.0\\.1:${other.port} failed \\(.*\\)\\. .*db\\.example\\.com.* See ERR_POOL_CONNECT_TLS\\.$`,
      ),
    );
    expect(await query({ sslMode: 'verify-ca', sslRootCert }, other)).toEqual([{ ssl: true }]);
  });

  it('is tried once: no certificate gets better by waiting', async () => {
    const error = await failure(query({ sslMode: 'verify-full' }));
    expect(error.message).not.toMatch(/Tried \d+ times/);
  });

  it('shows the phase of TLS in the timeline', async () => {
    const error = await failure(query({ sslMode: 'verify-full' }));
    expect((error as Error & { phase?: string }).phase).toBe('tls');
  });
});
