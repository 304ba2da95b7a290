// The orders of a rotation, seen from the source: what it offers, what it reads for that, and what it begins with next.
import { inspect } from 'node:util';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Credentials, CredentialsError } from '../../../src/auth/credentials.ts';
import { type SecretCredentialsOptions, SecretSource, secretCredentials } from '../../../src/auth/secret.ts';
import type { SecretAnswer, SecretsClientLike } from '../../../src/auth/secret-client.ts';
import type { SecretStage } from '../../../src/auth/secret-errors.ts';
import { failure } from '../../integration/support.ts';
import { type Deferred, deferred, watch } from '../../support/deferred.ts';
import { settle } from '../../support/fake-clock.ts';

const arn = 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders-db-AbCdEf';
const target = { host: 'localhost', port: 5432, user: undefined, database: undefined };

/** Secrets Manager as the source sees it: what is at each stage, and whether it can be asked. */
class FakeManager implements SecretsClientLike {
  readonly stages: Partial<Record<SecretStage, string>> = {};
  readonly read: SecretStage[] = [];
  trouble: Error | undefined;
  readonly held: { stage: SecretStage; gate: Deferred<void> }[] = [];
  holding = false;

  async getSecretValue({ VersionStage }: { VersionStage: string }) {
    const stage = VersionStage as SecretStage;
    this.read.push(stage);
    if (this.trouble) throw this.trouble;
    const version = this.stages[stage];
    if (this.holding) {
      const gate = deferred();
      this.held.push({ stage, gate });
      await gate.promise;
    }
    if (version === undefined) {
      throw Object.assign(new Error('not there'), { name: 'ResourceNotFoundException' });
    }
    const fields = { username: version.startsWith('b') ? 'app_clone' : 'app', password: `password of ${version}` };
    return { SecretString: JSON.stringify(fields), VersionId: version };
  }

  /** Lets through all that is held, and what follows. */
  release(): void {
    this.holding = false;
    for (const { gate } of this.held.splice(0)) gate.resolve();
  }

  /** What was read since the last time. */
  reads(): SecretStage[] {
    return this.read.splice(0);
  }

  put(version: string): void {
    if (this.stages.AWSCURRENT !== undefined) this.stages.AWSPREVIOUS = this.stages.AWSCURRENT;
    this.stages.AWSCURRENT = version;
  }

  finish(): void {
    const pending = this.stages.AWSPENDING;
    if (pending === undefined) throw new Error('nothing is pending');
    this.put(pending);
    delete this.stages.AWSPENDING;
  }
}

let manager: FakeManager;
let wall: number;
let warnings: string[];
beforeEach(() => {
  manager = new FakeManager();
  manager.put('a1');
  wall = 1_700_000_000_000;
  warnings = [];
});

const make = (options: Partial<SecretCredentialsOptions> = {}) =>
  secretCredentials({
    secretArn: arn,
    client: manager,
    env: {},
    now: () => wall,
    onWarning: (message) => warnings.push(message),
    ...options,
  });

type Source = ReturnType<typeof make>;

async function ask(
  source: Source,
  refused: readonly Credentials[] = [],
  signal: AbortSignal = new AbortController().signal,
): Promise<Credentials | undefined> {
  return source.credentials({ target, signal, refused });
}

/** One connection: asks until the server takes what it gets. @returns the versions that were tried */
async function connect(source: Source, taken: readonly string[]): Promise<string[]> {
  const refused: Credentials[] = [];
  for (;;) {
    const offered = await ask(source, refused);
    if (offered === undefined) return [...refused.map(({ version }) => version ?? '?'), 'none'];
    const version = offered.version ?? '?';
    if (taken.includes(version)) return [...refused.map((one) => one.version ?? '?'), version];
    refused.push(offered);
  }
}

test('it is named for errors without the characters that Secrets Manager adds, and says where to connect', () => {
  expect(make()).toMatchObject({ name: 'the secret orders-db', locates: true });
  expect(make({ secretArn: 'prod/db-secret' }).name).toBe('the secret prod/db-secret');
  expect(make({ secretArn: 'arn:aws:secretsmanager:eu-west-1:1:secret:prod/db-ABC123' }).name).toBe(
    'the secret prod/db',
  );
});

test('neither it nor what it gives shows a password', async () => {
  const source = make();
  const given = await ask(source);
  expect(given?.password).toBe('password of a1');
  for (const shown of [source, given, { source, given }]) {
    expect(inspect(shown, { depth: null, showHidden: true })).not.toContain('password of');
    expect(JSON.stringify(shown)).not.toContain('password of');
  }
});

describe('reading', () => {
  test('happens with the first connection, and once for all who ask at once', async () => {
    const source = make();
    expect(manager.reads()).toEqual([]);
    const all = await Promise.all(Array.from({ length: 200 }, () => ask(source)));
    expect(new Set(all.map((one) => one?.version))).toEqual(new Set(['a1']));
    expect(manager.reads()).toEqual(['AWSCURRENT']);
  });

  test('happens again when its time is up', async () => {
    const source = make({ ttlMillis: 1000 });
    await ask(source);
    wall += 999;
    await ask(source);
    expect(manager.reads()).toEqual(['AWSCURRENT']);
    manager.put('a2');
    wall += 1;
    expect((await ask(source))?.version).toBe('a2');
    expect(manager.reads()).toEqual(['AWSCURRENT']);
  });

  test('happens every five minutes where nothing else is said', async () => {
    const source = make();
    await ask(source);
    wall += 299_999;
    await ask(source);
    expect(manager.reads()).toHaveLength(1);
    wall += 1;
    await ask(source);
    expect(manager.reads()).toHaveLength(1);
  });

  test('goes on for the others when one stops waiting', async () => {
    manager.holding = true;
    const source = make();
    const controller = new AbortController();
    const gone = watch(ask(source, [], controller.signal));
    const stays = ask(source);
    controller.abort(new Error('gone'));
    await settle();
    expect(gone).toMatchObject({ state: 'rejected', error: new Error('gone') });
    manager.release();
    expect((await stays)?.version).toBe('a1');
    expect(manager.reads()).toEqual(['AWSCURRENT']);
  });

  test('does not begin for one who has stopped waiting already', async () => {
    await expect(ask(make(), [], AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
    expect(manager.reads()).toEqual([]);
  });
});

describe('a refused login', () => {
  test('is read again, and what is new is begun with from then on', async () => {
    const source = make();
    await connect(source, ['a1']);
    manager.put('a2');
    expect(await connect(source, ['a2'])).toEqual(['a1', 'a2']);
    expect(manager.reads()).toEqual(['AWSCURRENT', 'AWSCURRENT']);
    expect(await connect(source, ['a2'])).toEqual(['a2']);
    expect(manager.reads()).toEqual([]);
  });

  test('is replaced by what is pending, before the rotation is finished', async () => {
    const source = make();
    manager.stages.AWSPENDING = 'a2';
    expect(await connect(source, ['a2'])).toEqual(['a1', 'a2']);
    expect(manager.reads()).toEqual(['AWSCURRENT', 'AWSCURRENT', 'AWSPENDING']);
    expect(await connect(source, ['a2'])).toEqual(['a2']);
    expect(manager.reads()).toEqual([]);
    manager.finish();
    wall += 300_000;
    expect(await connect(source, ['a2'])).toEqual(['a2']);
    expect(manager.reads()).toEqual(['AWSCURRENT']);
  });

  test('is replaced by what was promoted between the two readings', async () => {
    const source = make();
    await connect(source, ['a1']);
    manager.reads();
    manager.stages.AWSPENDING = 'a2';
    manager.holding = true;
    const given = await (async () => {
      const first = await ask(source);
      const second = ask(source, first ? [first] : []);
      await settle();
      expect(manager.reads()).toEqual(['AWSCURRENT']);
      manager.finish();
      manager.release();
      return second;
    })();
    expect(given?.version).toBe('a2');
    expect(manager.reads()).toEqual(['AWSPENDING', 'AWSCURRENT']);
  });

  test('is replaced by the one before it, where that was promoted before the database has changed', async () => {
    const source = make();
    manager.put('a2');
    expect(await connect(source, ['a1'])).toEqual(['a2', 'a1']);
    expect(manager.reads()).toEqual(['AWSCURRENT', 'AWSCURRENT', 'AWSPENDING', 'AWSCURRENT', 'AWSPREVIOUS']);
    expect(await connect(source, ['a1'])).toEqual(['a1']);
    // Now the database has changed as well.
    expect(await connect(source, ['a2'])).toEqual(['a1', 'a2']);
    expect(await connect(source, ['a2'])).toEqual(['a2']);
  });

  test('is followed by nothing where nothing is taken, and the next connection begins with AWSCURRENT', async () => {
    const source = make();
    manager.put('a2');
    manager.stages.AWSPENDING = 'a3';
    expect(await connect(source, [])).toEqual(['a2', 'a3', 'a1', 'none']);
    expect((await ask(source))?.version).toBe('a2');
  });

  test('is not offered again under another version with the same words', async () => {
    const source = make();
    const first = await ask(source);
    const same = { ...first, version: 'other', password: first?.password ?? '' };
    expect(await ask(source, [same])).toBeUndefined();
  });

  test('is not refused for others than ours: what is newly read is offered', async () => {
    const source = make();
    expect((await ask(source, [{ password: 'of somebody else' }]))?.version).toBe('a1');
  });

  test('may be one that a policy forbids to read at other stages', async () => {
    const source = make();
    const first = await ask(source);
    const read = manager.getSecretValue.bind(manager);
    manager.getSecretValue = async (input) => {
      if (input.VersionStage === 'AWSCURRENT') return read(input);
      throw Object.assign(new Error('denied'), { name: 'AccessDeniedException' });
    };
    expect(await ask(source, first ? [first] : [])).toBeUndefined();
  });
});

describe('many refused at once', () => {
  test('share one reading, and find what the first of them has found', async () => {
    const source = make();
    const given = await Promise.all(Array.from({ length: 200 }, () => ask(source)));
    manager.reads();
    manager.put('a2');
    const others = await Promise.all(given.map((one) => ask(source, one ? [one] : [])));
    expect(new Set(others.map((one) => one?.version))).toEqual(new Set(['a2']));
    expect(manager.reads()).toEqual(['AWSCURRENT']);
  });

  test('share one reading of each stage', async () => {
    const source = make();
    const given = await Promise.all(Array.from({ length: 200 }, () => ask(source)));
    manager.reads();
    manager.stages.AWSPENDING = 'a2';
    const others = await Promise.all(given.map((one) => ask(source, one ? [one] : [])));
    expect(new Set(others.map((one) => one?.version))).toEqual(new Set(['a2']));
    expect(manager.reads()).toEqual(['AWSCURRENT', 'AWSPENDING']);
  });

  describe('with each answer in its own time', () => {
    /** Answers nothing by itself. */
    function slow() {
      const open: { readonly stage: SecretStage; readonly answer: Deferred<SecretAnswer> }[] = [];
      const reader = {
        read: (stage: SecretStage) => {
          const answer = deferred<SecretAnswer>();
          open.push({ stage, answer });
          return answer.promise;
        },
      };
      const source = new SecretSource({ secretArn: arn, now: () => wall }, reader);
      return {
        source,
        asked: () => open.map(({ stage }) => stage),
        /** Answers the oldest call for a stage, or the one so many after it, with a version, or that there is none. */
        async answer(stage: SecretStage, version?: string, after = 0) {
          const call = open.filter((one) => one.stage === stage)[after];
          if (!call) throw new Error(`Nobody has asked for ${stage}.`);
          open.splice(open.indexOf(call), 1);
          if (version === undefined) call.answer.reject(new CredentialsError('not there'));
          else call.answer.resolve({ login: { password: `password of ${version}`, version }, direct: true });
          await settle();
        },
      };
    }

    async function begun() {
      const { source, ...slowly } = slow();
      const [one, two] = [ask(source), ask(source)];
      await settle();
      await slowly.answer('AWSCURRENT', 'a1');
      return { source, ...slowly, one: (await one) as Credentials, two: (await two) as Credentials };
    }

    test('a reading that began before a login was given out is no news to whom it is refused', async () => {
      const { source, asked, answer, one } = await begun();
      const early = ask(source, [one]);
      await settle();
      const given = (await ask(source)) as Credentials;
      const late = ask(source, [given]);
      await settle();
      expect(asked()).toEqual(['AWSCURRENT']);
      await answer('AWSCURRENT', 'a1');
      expect(asked().toSorted()).toEqual(['AWSCURRENT', 'AWSPENDING']);
      await answer('AWSCURRENT', 'a2');
      expect((await late)?.version).toBe('a2');
      await answer('AWSPENDING');
      expect((await early)?.version).toBe('a2');
    });

    test('a reading that is slower than what follows a refusal does not undo it', async () => {
      const { source, asked, answer, one } = await begun();
      wall += 300_000;
      const usual = ask(source);
      const refused = ask(source, [one]);
      await settle();
      expect(asked()).toEqual(['AWSCURRENT', 'AWSCURRENT']);
      // The second call is the one after the refusal: it is answered first, and with something newer.
      await answer('AWSCURRENT', 'a3', 1);
      expect((await refused)?.version).toBe('a3');
      await answer('AWSCURRENT', 'a2');
      expect((await usual)?.version).toBe('a3');
      expect((await ask(source))?.version).toBe('a3');
    });

    test('AWSCURRENT is read once more after it is known that nothing is pending, not before', async () => {
      const { source, asked, answer, one, two } = await begun();
      const first = ask(source, [one]);
      await settle();
      await answer('AWSCURRENT', 'a1');
      const second = ask(source, [two]);
      await settle();
      expect(asked()).toEqual(['AWSPENDING', 'AWSCURRENT']);
      // The rotation is finished between the answers: the one for AWSCURRENT, made before, is slower.
      await answer('AWSPENDING');
      await answer('AWSCURRENT', 'a1');
      expect(asked().toSorted()).toEqual(['AWSCURRENT', 'AWSPENDING']);
      await answer('AWSCURRENT', 'a2');
      expect((await first)?.version).toBe('a2');
      await answer('AWSPENDING');
      expect((await second)?.version).toBe('a2');
      expect(asked()).toEqual([]);
    });
  });

  test('are served by what others have found while they were looking', async () => {
    const source = make();
    manager.put('a2');
    const [one, two] = [await ask(source), await ask(source)];
    manager.stages.AWSPENDING = 'a3';
    const found = await ask(source, one ? [one] : []);
    expect(found?.version).toBe('a3');
    manager.reads();
    expect((await ask(source, two ? [two] : []))?.version).toBe('a3');
    expect(manager.reads()).toEqual([]);
  });
});

describe('a rotation that was left half done', () => {
  test('keeps what is pending beyond its time, as long as it is pending and AWSCURRENT is what was refused', async () => {
    const source = make();
    manager.stages.AWSPENDING = 'a2';
    await connect(source, ['a2']);
    manager.reads();
    wall += 300_000;
    expect(await connect(source, ['a2'])).toEqual(['a2']);
    expect(manager.reads()).toEqual(['AWSCURRENT', 'AWSPENDING']);
    expect(await connect(source, ['a2'])).toEqual(['a2']);
    expect(manager.reads()).toEqual([]);
  });

  test('brings AWSCURRENT back when it is cancelled', async () => {
    const source = make();
    manager.stages.AWSPENDING = 'a2';
    await connect(source, ['a2']);
    delete manager.stages.AWSPENDING;
    wall += 300_000;
    expect(await connect(source, ['a1'])).toEqual(['a1']);
  });

  test('brings AWSCURRENT back when what is pending is refused', async () => {
    const source = make();
    manager.stages.AWSPENDING = 'a2';
    await connect(source, ['a2']);
    expect(await connect(source, ['a1'])).toEqual(['a2', 'a1']);
    expect(await connect(source, ['a1'])).toEqual(['a1']);
  });

  test('is given up for the next one', async () => {
    const source = make();
    manager.stages.AWSPENDING = 'a2';
    await connect(source, ['a2']);
    manager.stages.AWSPENDING = 'a3';
    manager.finish();
    wall += 300_000;
    expect(await connect(source, ['a3'])).toEqual(['a3']);
  });
});

describe('users that take turns', () => {
  test('need no second try: the old one is good until the next rotation', async () => {
    const source = make();
    expect(await connect(source, ['a1'])).toEqual(['a1']);
    manager.stages.AWSPENDING = 'b1';
    expect(await connect(source, ['a1', 'b1'])).toEqual(['a1']);
    manager.finish();
    expect(await connect(source, ['a1', 'b1'])).toEqual(['a1']);
    wall += 300_000;
    const login = await ask(source);
    expect(login).toMatchObject({ version: 'b1', user: 'app_clone' });
  });
});

describe('a stage that moves back', () => {
  test('is followed, although that version was refused before', async () => {
    const source = make({ ttlMillis: 1000 });
    await connect(source, ['a1']);
    manager.put('a2');
    await connect(source, ['a2']);
    manager.put('a1');
    wall += 1000;
    manager.reads();
    expect(await connect(source, ['a1'])).toEqual(['a1']);
    expect(manager.reads()).toEqual(['AWSCURRENT']);
  });
});

describe('when Secrets Manager does not answer', () => {
  const throttled = () => Object.assign(new Error('Rate exceeded'), { name: 'ThrottlingException' });

  test('what it held is used on, with one warning that says how old it is and why', async () => {
    const source = make({ ttlMillis: 60_000 });
    await ask(source);
    manager.trouble = throttled();
    wall += 90_000;
    expect((await ask(source))?.version).toBe('a1');
    expect((await ask(source))?.version).toBe('a1');
    expect(warnings).toEqual([
      'Going on with what the secret orders-db held 90 s ago (version a1), for it cannot be read now: AWS Secrets Manager ' +
        `in eu-west-1 is throttling calls for the secret ${arn} (ThrottlingException). See ERR_POOL_CONNECT_CREDENTIALS.`,
    ]);
  });

  test('it is asked again after ten seconds, not by each connection, and warned of once', async () => {
    const source = make({ ttlMillis: 60_000 });
    await ask(source);
    manager.trouble = throttled();
    wall += 60_000;
    manager.reads();
    for (let count = 0; count < 5; count += 1) await ask(source);
    expect(manager.reads()).toHaveLength(1);
    wall += 10_000;
    await ask(source);
    expect(manager.reads()).toHaveLength(1);
    expect(warnings).toHaveLength(1);
    manager.trouble = undefined;
    manager.put('a2');
    wall += 10_000;
    expect((await ask(source))?.version).toBe('a2');
    manager.trouble = throttled();
    wall += 60_000;
    await ask(source);
    expect(warnings).toHaveLength(2);
  });

  test('there is nothing to go on with at first', async () => {
    manager.trouble = throttled();
    const source = make();
    const error = await failure(ask(source));
    expect(error).toBeInstanceOf(CredentialsError);
    expect(error).toMatchObject({ transient: true, cause: manager.trouble });
    manager.trouble = undefined;
    expect((await ask(source))?.version).toBe('a1');
    expect(warnings).toEqual([]);
  });

  test('what it held is not used on when access was taken away', async () => {
    const source = make({ ttlMillis: 60_000 });
    await ask(source);
    manager.trouble = Object.assign(new Error('no'), { name: 'AccessDeniedException' });
    wall += 60_000;
    const error = await failure(ask(source));
    expect(error).toMatchObject({ transient: false });
    expect(error.message).toContain(`allow the action secretsmanager:GetSecretValue on ${arn}`);
  });

  test('a refused login cannot be replaced, which is said', async () => {
    const source = make();
    const first = await ask(source);
    manager.trouble = throttled();
    const error = await failure(ask(source, first ? [first] : []));
    expect(error).toMatchObject({ name: 'CredentialsError', transient: true });
    expect(error.message).toContain(
      'The server has refused the login of the secret orders-db, and whether there is a newer one cannot be read: AWS',
    );
  });

  test('a stage other than AWSCURRENT is no reason to believe there is nothing', async () => {
    const source = make();
    const first = await ask(source);
    const read = manager.getSecretValue.bind(manager);
    manager.getSecretValue = async (input) => {
      if (input.VersionStage === 'AWSCURRENT') return read(input);
      throw throttled();
    };
    await expect(ask(source, first ? [first] : [])).rejects.toMatchObject({ transient: true });
  });
});

describe('an answer out of somebody else’s cache', () => {
  /** The extension: it answers what it was told to until it is asked past its cache. */
  function cached() {
    const asked: string[] = [];
    const versions = { cached: 'a1', real: 'a1' };
    const reader = {
      async read(stage: SecretStage, direct: boolean) {
        asked.push(`${stage}${direct ? '!' : ''}`);
        if (stage !== 'AWSCURRENT') throw new CredentialsError('not there');
        const version = direct ? versions.real : versions.cached;
        return { login: { password: `password of ${version}`, version }, direct };
      },
    };
    const source = new SecretSource({ secretArn: arn, now: () => wall, ttlMillis: 1000 }, reader);
    return { source, versions, asked };
  }

  test('is passed by for a refused login', async () => {
    const { source, versions, asked } = cached();
    await connect(source, ['a1']);
    versions.real = 'a2';
    expect(await connect(source, ['a2'])).toEqual(['a1', 'a2']);
    expect(asked).toEqual(['AWSCURRENT', 'AWSCURRENT!']);
  });

  test('is not believed where it brings back what was refused', async () => {
    const { source, versions, asked } = cached();
    await connect(source, ['a1']);
    versions.real = 'a2';
    await connect(source, ['a2']);
    asked.length = 0;
    wall += 1000;
    expect(await connect(source, ['a2'])).toEqual(['a2']);
    expect(asked).toEqual(['AWSCURRENT', 'AWSCURRENT!']);
  });
});
