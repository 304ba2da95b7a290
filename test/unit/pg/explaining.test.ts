import { expect, it, vi } from 'vitest';
import type { Endpoint } from '../../../src/pg/endpoint.ts';
import type * as explaining from '../../../src/pg/explaining.ts';
import { Opener } from '../../../src/pg/opener.ts';
import { routes } from '../../../src/pg/route.ts';
import { deferred } from '../../support/deferred.ts';

/** With nothing loaded yet, as in a process that has just begun. */
async function fresh(): Promise<typeof explaining> {
  vi.resetModules();
  return import('../../../src/pg/explaining.ts');
}

const endpoint = (explainTls: Endpoint['explainTls'] = async () => undefined): Endpoint => ({
  host: 'db.example.com',
  port: 6432,
  user: 'app',
  database: 'orders',
  route: routes.direct,
  directTls: false,
  clientConfig: () => ({}),
  explainTls,
});
const once = { credentials: undefined, count: 1, millis: 1, before: [] };
const refused = (code: string): Error => Object.assign(new Error(`connect ${code}`), { code });

it('tells each of several that fail at once what it failed for, though nothing is loaded yet', async () => {
  const { explained } = await fresh();
  const codes = ['ECONNREFUSED', 'ENOTFOUND', '53300'];
  const errors = await Promise.all(codes.map((code) => explained(refused(code), { endpoint: endpoint(), ...once })));
  expect(errors).toMatchObject([
    { code: 'ERR_POOL_CONNECT_REFUSED', message: expect.stringMatching(/^Nothing answers at db\.example\.com:6432 /) },
    { code: 'ERR_POOL_CONNECT_DNS', message: expect.stringMatching(/^The host name "db\.example\.com" was not found/) },
    { code: 'ERR_POOL_CONNECT_UNAVAILABLE', message: expect.stringMatching(/ has no connection slots left /) },
  ]);
});

it('tells what was tried, how often, and where else', async () => {
  const { explained } = await fresh();
  const efforts = { credentials: 'IAM', count: 3, millis: 1200, before: ['proxy: no answer'] };
  const error = await explained(refused('28P01'), { endpoint: endpoint(), ...efforts });
  expect((error as Error).message).toBe(
    'The server at db.example.com:6432 refused user "app" with what IAM gave, fresh ones included (connect 28P01). Check that this is the user they are for, and pg_hba.conf or rds_iam. Nor did these answer: proxy: no answer. Tried 3 times in 1.2 s. See ERR_POOL_CONNECT_AUTH.',
  );
});

it('tells what who knows about TLS says', async () => {
  const { explained } = await fresh();
  const error = await explained(refused('28000'), { endpoint: endpoint(async () => 'It wants TLS.'), ...once });
  expect(error).toMatchObject({
    code: 'ERR_POOL_CONNECT_TLS',
    message: expect.stringContaining(' It wants TLS. See '),
  });
});

it('has what it needs loaded at the first failure, and is not stopped by settings that cannot be used', async () => {
  const { prepareToExplain } = await fresh();
  let asked = 0;
  // No mock function: that would hear the rejection.
  const explainTls = (): Promise<undefined> => {
    asked += 1;
    return Promise.reject(new Error('no such file'));
  };
  const loaded = deferred();
  vi.doMock('../../../src/pg/connect-error.ts', () => {
    loaded.resolve();
    return { connectError: () => undefined };
  });
  try {
    prepareToExplain(refused('ECONNREFUSED'), endpoint(explainTls));
    expect(asked).toBe(1);
    await loaded.promise;
    prepareToExplain(refused('ECONNREFUSED'), undefined);
  } finally {
    vi.doUnmock('../../../src/pg/connect-error.ts');
  }
});

it('hands on the error itself where the words are missing from a bundle', async () => {
  const { explained, prepareToExplain } = await fresh();
  vi.doMock('../../../src/pg/connect-error.ts', () => {
    throw new Error('Cannot find module');
  });
  try {
    const error = refused('ECONNREFUSED');
    prepareToExplain(error, endpoint());
    expect(await explained(error, { endpoint: endpoint(), ...once })).toBe(error);
  } finally {
    vi.doUnmock('../../../src/pg/connect-error.ts');
  }
});

it('lets out what is wrong with the settings of TLS', async () => {
  const { explained } = await fresh();
  const wrong = new Error('sslRootCert must be a readable PEM file');
  const asked = explained(refused('ECONNREFUSED'), { endpoint: endpoint(() => Promise.reject(wrong)), ...once });
  await expect(asked).rejects.toBe(wrong);
});

it('is asked at the first failure, not when the budget is used up', async () => {
  const trace: string[] = [];
  const controller = new AbortController();
  const nowhere: Endpoint = {
    ...endpoint(async () => void trace.push('explain')),
    clientConfig: () => {
      if (trace.includes('try')) controller.abort();
      trace.push('try');
      throw refused('ECONNREFUSED');
    },
  };
  const ignore = (): void => {};
  const opener = new Opener({
    endpoints: () => [nowhere],
    readOnly: false,
    now: () => 0,
    onWarning: ignore,
    onClient: ignore,
    onNote: ignore,
    evict: ignore,
  });
  const { signal } = controller;
  const opened = opener.open({ signal, budgetMillis: 60_000, phase: ignore, roundTrip: ignore, broken: ignore });
  await expect(opened).rejects.toMatchObject({ code: 'ERR_POOL_CONNECT_REFUSED' });
  expect(trace.slice(0, 3)).toEqual(['try', 'explain', 'try']);
});
