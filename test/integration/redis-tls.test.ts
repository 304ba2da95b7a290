// TLS to Redis, on a real server that speaks nothing else.
import { readFileSync } from 'node:fs';
import { createRedisPool } from 'thawpool/redis';
import { afterAll, describe, expect, it } from 'vitest';
import { makeCertificates, whyNoCertificates } from '../support/certificates.ts';
import { reason as noRedis, useRedis } from './redis-support.ts';
import { failure } from './support.ts';

const reason = noRedis ?? whyNoCertificates();
if (reason !== undefined) console.warn(`The tests of TLS to Redis are skipped: ${reason}.`);

describe.skipIf(reason)(`TLS to Redis${reason ? ` (${reason})` : ''}`, () => {
  const certificates = reason === undefined ? makeCertificates() : undefined;
  afterAll(() => certificates?.dispose());
  const none = { cert: '', key: '' };
  const ca = certificates === undefined ? '' : readFileSync(certificates.caFile, 'utf8');
  const local = useRedis({ tls: certificates?.local ?? none });
  const elsewhere = useRedis({ tls: certificates?.elsewhere ?? none });

  it('is verified by the authority that is given', async () => {
    await using pool = createRedisPool({ env: {}, url: `rediss://localhost:${local().port}`, tls: { ca } });
    expect(await pool.use((client) => client.ping())).toBe('PONG');
  });

  it.each([
    ['an unknown authority', () => ({ url: local().url })],
    ['another host’s certificate', () => ({ url: elsewhere().url, tls: { ca } })],
  ])('is refused for %s', async (_, options) => {
    await using pool = createRedisPool({ env: {}, ...options() });
    const error = await failure(pool.use((client) => client.ping()));
    expect(error.code).toBe('ERR_POOL_CONNECT_TLS');
    expect(pool.stats().createFailed).toBe(1);
  });

  it('goes on unverified only where that is asked for', async () => {
    await using pool = createRedisPool({ env: {}, url: elsewhere().url, tls: { rejectUnauthorized: false } });
    expect(await pool.use((client) => client.ping())).toBe('PONG');
  });
});
