import { describe, expect, it } from 'vitest';
import type { CredentialRequest, CredentialSource, Credentials } from '../../../src/auth/credentials.ts';
import { isRefusedLogin, Login } from '../../../src/pg/login.ts';

const here = { host: 'db', port: 5432, user: 'app', database: 'app' };
const { signal } = new AbortController();

/** A source that gives one after the other, and notes what it was asked. */
function giving(...answers: (Credentials | undefined | Error)[]): CredentialSource & { asked: CredentialRequest[] } {
  const asked: CredentialRequest[] = [];
  return {
    name: 'a test',
    asked,
    credentials: (request) => {
      asked.push(request);
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
}

it('asks once for one place', async () => {
  const source = giving({ password: 'a' }, { password: 'b' });
  const login = new Login(source, signal);
  expect(await Promise.all([login.for(here), login.for({ ...here })])).toEqual([{ password: 'a' }, { password: 'a' }]);
  expect(source.asked).toEqual([{ target: here, signal, refused: [] }]);
});

it.each([{ host: 'other' }, { port: 1 }, { user: 'x' }, { database: 'y' }])(
  'asks again for another place: %o',
  async (change) => {
    const source = giving({ password: 'a' }, { password: 'b' });
    const login = new Login(source, signal);
    await login.for(here);
    expect(await login.for({ ...here, ...change })).toEqual({ password: 'b' });
  },
);

it('shows the source what was refused, and takes what it gives then', async () => {
  const source = giving({ password: 'a' }, { password: 'b' }, { password: 'c' });
  const login = new Login(source, signal);
  await login.for(here);
  expect(await login.renew()).toBe(true);
  expect(await login.for(here)).toEqual({ password: 'b' });
  expect(await login.renew()).toBe(true);
  expect(await login.for(here)).toEqual({ password: 'c' });
  expect(source.asked.map(({ refused }) => refused.map(({ password }) => password))).toEqual([[], ['a'], ['a', 'b']]);
});

it('forgets what was refused elsewhere', async () => {
  const source = giving({ password: 'a' }, { password: 'b' }, { password: 'c' });
  const login = new Login(source, signal);
  await login.for(here);
  await login.renew();
  await login.for({ ...here, host: 'other' });
  expect(source.asked.at(-1)).toMatchObject({ target: { host: 'other' }, refused: [] });
});

it('has no others when the source has none, or the same again', async () => {
  for (const second of [undefined, { password: 'a' }, { password: 'a', version: '2' }]) {
    const login = new Login(giving({ password: 'a' }, second), signal);
    await login.for(here);
    expect(await login.renew()).toBe(false);
    expect(await login.for(here)).toEqual({ password: 'a' });
  }
});

it('takes the same password for another user as others', async () => {
  const login = new Login(giving({ password: 'a', user: 'one' }, { password: 'a', user: 'two' }), signal);
  await login.for(here);
  expect(await login.renew()).toBe(true);
});

it('does not ask for ever', async () => {
  let count = 0;
  const source: CredentialSource = { name: 'endless', credentials: () => ({ password: String((count += 1)) }) };
  const login = new Login(source, signal);
  await login.for(here);
  const renewed = [];
  for (let time = 0; time < 5; time += 1) renewed.push(await login.renew());
  expect(renewed).toEqual([true, true, true, false, false]);
});

it('has nothing to renew before it has asked', async () => {
  expect(await new Login(giving(), signal).renew()).toBe(false);
});

describe('a source that does not keep its word', () => {
  it('fails with its own error, which nobody need hear', async () => {
    const login = new Login(giving(new Error('no luck')), signal);
    const promise = login.for(here);
    await new Promise(setImmediate);
    await expect(promise).rejects.toThrow('no luck');
  });

  it.each([
    [undefined, 'a test gave no credentials'],
    [{ password: 12 } as never, 'a test gave credentials whose password is not a string'],
  ])('is named: %o', async (answer, message) => {
    await expect(new Login(giving(answer), signal).for(here)).rejects.toThrow(message);
  });
});

it.each([
  ['28P01', true],
  ['28000', true],
  ['3D000', false],
  [undefined, false],
])('%s is a refused login: %s', (code, refused) => {
  expect(isRefusedLogin(Object.assign(new Error('x'), { code }))).toBe(refused);
});
