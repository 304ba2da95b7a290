// Tokens with a signer of the test's own and clocks that it turns: when one is signed, how long it is kept, who shares it.
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { CredentialSource, Credentials } from '../../../src/auth/credentials.ts';
import { type IamOptions, iamCredentials } from '../../../src/auth/iam.ts';
import type { SignedToken, TokenRequest, TokenSigner } from '../../../src/auth/iam-tokens.ts';
import { type Deferred, deferred, watch } from '../../support/deferred.ts';

const minute = 60_000;
const start = Date.UTC(2026, 10, 21, 12);
const host = 'orders.c9akciq32rgq.eu-west-1.rds.amazonaws.com';

/** Signs at once, or when it is told to; its tokens are numbered. */
class FakeSigner implements TokenSigner {
  readonly name = 'Number stamping';
  readonly lifetimeMillis = 15 * minute;
  readonly requests: TokenRequest[] = [];
  expiresAt: number | undefined;
  error: Error | undefined;
  /** Every signature waits for one of its own. */
  held: Deferred<void>[] | undefined;

  async sign(request: TokenRequest): Promise<SignedToken> {
    this.requests.push(request);
    const token = `token-${this.requests.length}`;
    if (this.held) {
      const gate = deferred();
      this.held.push(gate);
      await gate.promise;
    }
    if (this.error) throw this.error;
    return { token, expiresAt: this.expiresAt };
  }
}

interface Bench {
  readonly signer: FakeSigner;
  readonly clock: { wall: number };
  readonly warnings: string[];
  readonly source: CredentialSource;
  /** Asks as the connector does. */
  ask(how?: {
    host?: string;
    port?: number;
    user?: string | undefined;
    refused?: readonly Credentials[];
    signal?: AbortSignal;
  }): Promise<Credentials | undefined>;
  token(how?: Parameters<Bench['ask']>[0]): Promise<string | undefined>;
}

function bench(options: IamOptions = {}): Bench {
  const signer = new FakeSigner();
  const clock = { wall: start };
  const warnings: string[] = [];
  const source = iamCredentials({
    signer,
    env: {},
    now: () => clock.wall,
    onWarning: (message) => warnings.push(message),
    ...options,
  });
  const ask: Bench['ask'] = async ({ refused = [], signal = new AbortController().signal, ...target } = {}) =>
    source.credentials({
      target: { host, port: 5432, user: 'app', database: 'shop', ...target },
      signal,
      refused,
    });
  return { signer, clock, warnings, source, ask, token: async (how) => (await ask(how))?.password };
}

describe('a token', () => {
  it('is signed once for a thousand connections that ask at once', async () => {
    const { signer, token } = bench();
    const tokens = await Promise.all(Array.from({ length: 1000 }, () => token()));
    expect(new Set(tokens)).toEqual(new Set(['token-1']));
    expect(signer.requests).toEqual([{ host, port: 5432, user: 'app', region: 'eu-west-1', refresh: false }]);
  });

  it('is kept for ten minutes and then signed anew, once', async () => {
    const { signer, clock, token } = bench();
    await token();
    clock.wall += 10 * minute - 1;
    expect(await token()).toBe('token-1');
    clock.wall += 1;
    expect(await Promise.all(Array.from({ length: 1000 }, () => token()))).toEqual(
      Array.from({ length: 1000 }, () => 'token-2'),
    );
    expect(signer.requests).toHaveLength(2);
  });

  it('is signed anew after a freeze of twenty minutes', async () => {
    const { clock, token } = bench();
    await token();
    clock.wall += 20 * minute;
    expect(await token()).toBe('token-2');
  });

  it('that was being signed when the process froze is signed anew, not sent too old', async () => {
    const { signer, clock, token } = bench();
    signer.held = [];
    const waiting = watch(token());
    await Promise.resolve();
    clock.wall += 20 * minute;
    const gate = signer.held[0];
    signer.held = undefined;
    gate?.resolve();
    await expect.poll(() => waiting.value).toBe('token-2');
    expect(signer.requests).toHaveLength(2);
  });

  it('is not sent when a clock that leaps makes it too old twice', async () => {
    const { signer, clock, ask } = bench();
    signer.sign = async () => {
      clock.wall += 20 * minute;
      return { token: 'token-late' };
    };
    await expect(ask()).rejects.toMatchObject({
      code: 'ERR_POOL_CONNECT_CREDENTIALS',
      transient: true,
      message: expect.stringContaining(`The token of Number stamping for app at ${host} was too old`),
    });
  });

  it('whose signature hangs is signed anew by those who ask ten seconds later', async () => {
    const { signer, clock, token } = bench();
    signer.held = [];
    const first = watch(token());
    await Promise.resolve();
    clock.wall += 9_999;
    const second = watch(token());
    await Promise.resolve();
    expect(signer.requests).toHaveLength(1);
    clock.wall += 1;
    const gate = signer.held[0];
    signer.held = undefined;
    expect(await token()).toBe('token-2');
    gate?.resolve();
    await expect.poll(() => [first.value, second.value]).toEqual(['token-1', 'token-1']);
    expect(await token(), 'the one that was given up does not replace the newer one').toBe('token-2');
  });

  it.each([
    ['a minute', minute],
    ['a millisecond', 1],
    ['a year', 365 * 24 * 60 * minute],
  ])('is signed anew when the wall clock is set back by %s', async (_, back) => {
    const { clock, token } = bench();
    await token();
    clock.wall -= back;
    expect(await token()).toBe('token-2');
    expect(await token()).toBe('token-2');
  });

  it('lives no longer because the clock was set back before it became old', async ({ onTestFinished }) => {
    const { clock, token } = bench();
    const real = performance.now.bind(performance);
    let ahead = 0;
    performance.now = () => real() + ahead;
    onTestFinished(() => {
      performance.now = real;
    });
    await token();
    // Eleven minutes pass, in which somebody takes ten back.
    clock.wall += 1 * minute;
    ahead = 11 * minute;
    expect(await token()).toBe('token-2');
  });

  it('is replaced a minute before the credentials expire that signed it', async () => {
    const { signer, clock, token } = bench();
    signer.expiresAt = start + 5 * minute;
    await token();
    clock.wall += 4 * minute - 1;
    expect(await token()).toBe('token-1');
    clock.wall += 1;
    signer.expiresAt = start + 65 * minute;
    expect(await token()).toBe('token-2');
    clock.wall += 10 * minute - 1;
    expect(await token()).toBe('token-2');
  });

  it('of credentials that last less than a minute is used once and not kept', async () => {
    const { signer, token } = bench();
    signer.expiresAt = start + 30_000;
    expect(await token()).toBe('token-1');
    expect(await token()).toBe('token-2');
  });

  it.each([
    ['host', { host: 'orders.cluster-ro-c9akciq32rgq.eu-west-1.rds.amazonaws.com' }],
    ['port', { port: 6432 }],
    ['user', { user: 'reporter' }],
  ])('is signed for each %s', async (_, other) => {
    const { signer, token } = bench();
    expect([await token(), await token(other), await token(), await token(other)]).toEqual([
      'token-1',
      'token-2',
      'token-1',
      'token-2',
    ]);
    expect(signer.requests[1]).toMatchObject(other);
  });

  it('is one for all ways to write a host', async () => {
    const { signer, token } = bench();
    expect(await token({ host: `${host.toUpperCase()}.` })).toBe('token-1');
    expect(await token()).toBe('token-1');
    expect(signer.requests[0]?.host).toBe(host);
  });
});

describe('a failed signature', () => {
  it('fails for everybody who waited for it, and the next one is tried anew', async () => {
    const { signer, ask, token } = bench();
    signer.error = new Error('no ink');
    const results = await Promise.allSettled(Array.from({ length: 50 }, () => ask()));
    expect(new Set(results.map((result) => result.status === 'rejected' && result.reason))).toEqual(
      new Set([signer.error]),
    );
    expect(signer.requests).toHaveLength(1);
    signer.error = undefined;
    expect(await token()).toBe('token-2');
  });
});

describe('who gives up', () => {
  it('stops waiting, and the signature goes on for the others', async () => {
    const { signer, token, ask } = bench();
    signer.held = [];
    const controller = new AbortController();
    const impatient = watch(ask({ signal: controller.signal }));
    const patient = watch(token());
    const reason = new Error('the invocation is over');
    controller.abort(reason);
    await expect.poll(() => impatient.error).toBe(reason);
    expect(patient.state).toBe('pending');
    signer.held[0]?.resolve();
    await expect.poll(() => patient.value).toBe('token-1');
    expect(signer.requests).toHaveLength(1);
  });

  it('leaves what was signed for the next', async () => {
    const { signer, token, ask } = bench();
    signer.held = [];
    const controller = new AbortController();
    const impatient = watch(ask({ signal: controller.signal }));
    controller.abort();
    await expect.poll(() => impatient.state).toBe('rejected');
    signer.held[0]?.resolve();
    expect(await token()).toBe('token-1');
  });

  it('before asking has nothing signed', async () => {
    const { signer, ask } = bench();
    await expect(ask({ signal: AbortSignal.abort() })).rejects.toThrow('aborted');
    expect(signer.requests).toEqual([]);
  });
});

describe('a refused token', () => {
  const login = (password: string): Credentials => ({ password });

  it('is replaced by one with fresh credentials, once for everybody who was refused', async () => {
    const { signer, clock, token } = bench();
    await token();
    clock.wall += 2 * minute;
    const tokens = await Promise.all(
      Array.from({ length: 100 }, () => token({ refused: [login('token-1')] })).concat(token()),
    );
    expect(new Set(tokens)).toEqual(new Set(['token-2']));
    expect(signer.requests.map(({ refresh }) => refresh)).toEqual([false, true]);
    // One whose refusal arrived later gets what there is by then.
    clock.wall += minute;
    expect(await token({ refused: [login('token-1')] })).toBe('token-2');
    expect(signer.requests).toHaveLength(2);
  });

  it('is replaced as often as it is refused later', async () => {
    const { signer, clock, token } = bench();
    await token();
    expect(await token({ refused: [login('token-1')] })).toBe('token-2');
    clock.wall += 1000;
    expect(await token({ refused: [login('token-2')] })).toBe('token-3');
    expect(signer.requests.map(({ refresh }) => refresh)).toEqual([false, true, true]);
  });

  it('is not replaced again within the second in which a replacement would be the same', async () => {
    const { signer, clock, token } = bench();
    await token();
    expect(await token({ refused: [login('token-1')] })).toBe('token-2');
    clock.wall += 999;
    expect(await token({ refused: [login('token-2')] })).toBe('token-2');
    expect(signer.requests).toHaveLength(2);
  });

  it('that is not kept any more is replaced with fresh credentials as well', async () => {
    const { signer, clock, token } = bench();
    await token();
    clock.wall += 12 * minute;
    expect(await token({ refused: [login('token-1')] })).toBe('token-2');
    expect(signer.requests.map(({ refresh }) => refresh)).toEqual([false, true]);
  });

  it('and another one after it end the attempts', async () => {
    const { signer, clock, token, ask } = bench();
    await token();
    clock.wall += minute;
    const second = await token({ refused: [login('token-1')] });
    expect(await ask({ refused: [login('token-1'), login(second ?? '')] })).toBeUndefined();
    expect(signer.requests).toHaveLength(2);
  });

  it('is not handed out again when its replacement fails', async () => {
    const { signer, clock, token, ask } = bench();
    await token();
    clock.wall += minute;
    signer.error = new Error('no ink');
    await expect(ask({ refused: [login('token-1')] })).rejects.toBe(signer.error);
    signer.error = undefined;
    expect(await token()).toBe('token-3');
  });
});

describe('the region', () => {
  const regionOf = async (options: IamOptions, to = host): Promise<string | undefined> => {
    const { signer, ask } = bench(options);
    await ask({ host: to });
    return signer.requests[0]?.region;
  };
  const env = { AWS_REGION: 'us-west-1', AWS_DEFAULT_REGION: 'us-west-2' };

  it.each([
    ['the option before all else', { region: 'sa-east-1', env }, host, 'sa-east-1'],
    ['the host name before the environment', { env }, host, 'eu-west-1'],
    ['AWS_REGION where the host name says none', { env }, 'localhost', 'us-west-1'],
    ['AWS_DEFAULT_REGION after it', { env: { ...env, AWS_REGION: '' } }, 'localhost', 'us-west-2'],
    ['that of hostname, where tokens are for that', { env, hostname: host }, 'localhost', 'eu-west-1'],
    ['nothing where nobody knows', { env: {} }, 'localhost', undefined],
  ])('is %s', async (_, options, to, region) => {
    expect(await regionOf(options, to)).toBe(region);
  });

  it('that nobody knows is an error that says where to set it', async () => {
    const { ask } = bench({ signer: undefined });
    await expect(ask({ host: 'db.example.com' })).rejects.toMatchObject({
      name: 'CredentialsError',
      code: 'ERR_POOL_CONNECT_CREDENTIALS',
      transient: false,
      message:
        'IAM authentication needs the region of db.example.com, which its name does not say. Set the option region, or ' +
        'AWS_REGION. See ERR_POOL_CONNECT_CREDENTIALS.',
    });
  });
});

describe('a user', () => {
  it.each([undefined, ''])('that is %j is an error that says where to set it', async (user) => {
    const { ask, signer } = bench();
    await expect(ask({ user })).rejects.toMatchObject({
      code: 'ERR_POOL_CONNECT_CREDENTIALS',
      transient: false,
      message:
        'Number stamping needs a user, and none is set: set PGUSER, or the user in DATABASE_URL, to a role that was granted ' +
        'rds_iam. See ERR_POOL_CONNECT_CREDENTIALS.',
    });
    expect(signer.requests).toEqual([]);
  });
});

describe('a host that Amazon did not name', () => {
  const aws = { AWS_REGION: 'eu-west-1' };
  const credentials = async () => ({ accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'never-seen' });
  const own: IamOptions = { signer: undefined, env: aws, credentials };

  it.each([
    ['db.example.com', 'not a name that Amazon gave out'],
    ['10.0.3.7', 'an address'],
    ['2001:db8::7', 'an address'],
  ])('is warned of once: %s', async (to, what) => {
    const { warnings, ask } = bench(own);
    await ask({ host: to });
    await ask({ host: to });
    expect(warnings).toEqual([
      `IAM authentication makes tokens for ${to}, which is ${what}: the server will refuse them. Connect to the endpoint ` +
        'that ends in .rds.amazonaws.com, or give iamCredentials() and dsqlCredentials() that name as hostname.',
    ]);
  });

  it.each([host, 'localhost', '127.0.0.1', '::1'])('is not %s', async (to) => {
    const { warnings, ask } = bench(own);
    await ask({ host: to });
    expect(warnings).toEqual([]);
  });

  it('is not warned of when tokens are for another one, as through a tunnel', async () => {
    const { warnings, signer, ask } = bench({ hostname: host, port: 5432 });
    await ask({ host: '10.0.3.7', port: 15432 });
    expect(warnings).toEqual([]);
    expect(signer.requests).toMatchObject([{ host, port: 5432, region: 'eu-west-1' }]);
    const real = bench({ ...own, hostname: host, port: 5432 });
    expect(await real.token({ host: '10.0.3.7', port: 15432 })).toMatch(`${host}:5432/?`);
    expect(real.warnings).toEqual([]);
  });

  it('is no business of ours with a signer of other tokens', async () => {
    const { warnings, ask } = bench();
    await ask({ host: 'db.example.com' });
    expect(warnings).toEqual([]);
  });
});

describe('the source', () => {
  it('asks for TLS and says what it is', () => {
    expect(bench().source).toMatchObject({ name: 'Number stamping', requiresTls: true });
    expect(iamCredentials()).toMatchObject({ name: 'IAM authentication', requiresTls: true });
  });

  it('shows no token', async () => {
    const { source, ask } = bench();
    const login = await ask();
    expect(login?.password).toBe('token-1');
    for (const shown of [source, login]) {
      expect(inspect(shown, { depth: 9, showHidden: true })).not.toContain('token-1');
      expect(JSON.stringify(shown)).not.toContain('token-1');
    }
    expect({ ...login }).toEqual({ password: 'token-1' });
  });
});
