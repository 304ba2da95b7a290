// The function behind `DatabaseUser`, against a real server: what it does to roles, and how it answers CloudFormation.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { bundleDatabaseUser } from '../../infra/database-user/bundle.ts';
import { scramVerifier } from '../../infra/database-user/password.ts';
import { connect, disconnect, grantIn, mark, resetSetting, setSetting } from '../../infra/database-user/statements.ts';
import { ensureUser, removeUser } from '../../infra/database-user/user.ts';
import {
  type SchemaGrant,
  schemaWishes,
  type TablePrivilege,
  type UserGrants,
  type UserWish,
} from '../../infra/database-user/wish.ts';
import { LOOPBACK, listenAnywhere } from '../support/free-port.ts';
import { startPostgres } from '../support/postgres.ts';
import { SecretsManagerDouble } from '../support/secrets-manager/secrets-manager.ts';
import { failure, useDatabase, usePools } from './support.ts';

const database = useDatabase();
const second = useDatabase();
const pools = usePools(() => ({ connectionString: database.connectionString, max: 1 }));
const name = pg.escapeIdentifier;

/** Roles are the whole server's: these are this file's. */
const made: string[] = [];
function newUser(like = 'app'): string {
  const user = `${like}_${randomUUID().slice(0, 8)}`;
  made.push(user);
  return user;
}

async function makeRdsIam(query: (sql: string) => Promise<unknown>): Promise<void> {
  await query(`do $$ begin create role rds_iam; exception when duplicate_object or unique_violation then null; end $$`);
}

beforeAll(async () => {
  await makeRdsIam(database.query);
  await database.query('create table items (id serial primary key, word text)');
  await database.query('create schema "Other Things"');
  await database.query('create table "Other Things".words (word text)');
});
afterAll(async () => {
  for (const user of made) {
    const [role] = await database.query('select from pg_roles where rolname = $1', [user]);
    if (role === undefined) continue;
    await database.query(`grant ${name(user)} to current_user`);
    await database.query(`drop owned by ${name(user)}`);
    await database.query(`drop role ${name(user)}`);
  }
});

function wishFor(user: string, more: Partial<UserWish> & { readonly may?: UserGrants } = {}): UserWish {
  const { may = 'read-write', ...rest } = more;
  return { user, database: database.name, iam: true, grants: schemaWishes(may), settings: {}, ...rest };
}

async function ensure(wish: UserWish, before?: UserWish, verifier?: string): Promise<string[]> {
  const said: string[] = [];
  const { pool } = pools();
  await pool.transaction((tx) => ensureUser(tx, wish, { before, verifier, log: (message) => said.push(message) }));
  return said;
}

async function remove(wish: UserWish): Promise<string[]> {
  const said: string[] = [];
  const { pool } = pools();
  await pool.transaction((tx) => removeUser(tx, wish, { log: (message) => said.push(message) }));
  return said;
}

/** What a role is, has and may, as the catalogs hold it. */
async function everything(user: string) {
  const [role] = await database.query<{ found: Record<string, unknown> }>(
    `select jsonb_build_object(
       'attributes', (select to_jsonb(r) - 'oid' from pg_roles r where rolname = $1),
       'memberOf', (select jsonb_agg(g.rolname || case when m.admin_option then ' and its admin' else '' end)
          from pg_auth_members m join pg_roles g on g.oid = m.roleid
          join pg_roles r on r.oid = m.member where r.rolname = $1),
       'tables', (select jsonb_agg(to_jsonb(t) order by t.relname, t.privilege_type) from
          (select c.oid::regclass::text as relname, a.privilege_type from pg_class c, aclexplode(c.relacl) a
           join pg_roles r on r.oid = a.grantee where r.rolname = $1) t),
       'schemas', (select jsonb_agg(to_jsonb(t) order by t.nspname, t.privilege_type) from
          (select n.nspname, a.privilege_type from pg_namespace n, aclexplode(n.nspacl) a
           join pg_roles r on r.oid = a.grantee where r.rolname = $1) t),
       'later', (select jsonb_agg(to_jsonb(t) order by t.owner, t.nspname, t.kind, t.privilege_type) from
          (select o.rolname as owner, n.nspname, d.defaclobjtype as kind, a.privilege_type from pg_default_acl d
           join pg_roles o on o.oid = d.defaclrole join pg_namespace n on n.oid = d.defaclnamespace,
           aclexplode(d.defaclacl) a join pg_roles r on r.oid = a.grantee where r.rolname = $1) t),
       'connects', (select jsonb_agg(a.privilege_type) from pg_database b, aclexplode(b.datacl) a
          join pg_roles r on r.oid = a.grantee where r.rolname = $1),
       'settings', (select jsonb_agg(s.setconfig) from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
          where r.rolname = $1)) as found`,
    [user],
  );
  return role?.found ?? {};
}

async function may(user: string, table: string, privilege: string): Promise<boolean> {
  const [row] = await database.query<{ may: boolean }>('select has_table_privilege($1::name, $2, $3) as may', [
    user,
    table,
    privilege,
  ]);
  return row?.may ?? false;
}

async function logIn(user: string, password: string): Promise<pg.Client> {
  const { host, port } = inject('postgres');
  const client = new pg.Client({ host, port, database: database.name, user, password });
  await client.connect();
  return client;
}

describe('making a user', () => {
  test('makes a role that logs in with IAM, reads and writes, and is nothing more', async () => {
    const user = newUser();
    await ensure(wishFor(user));
    await database.query('create table later (id serial primary key)');
    const found = await everything(user);
    expect(found['attributes']).toMatchObject({
      rolcanlogin: true,
      rolsuper: false,
      rolcreaterole: false,
      rolcreatedb: false,
      rolreplication: false,
      rolbypassrls: false,
    });
    expect(found['memberOf']).toEqual(['rds_iam']);
    expect(found['connects']).toEqual(['CONNECT']);
    expect(found['schemas']).toEqual([{ nspname: 'public', privilege_type: 'USAGE' }]);
    for (const table of ['items', 'later']) {
      for (const privilege of ['SELECT', 'INSERT', 'UPDATE', 'DELETE']) {
        expect(await may(user, table, privilege), `${privilege} on ${table}`).toBe(true);
      }
      for (const privilege of ['TRUNCATE', 'REFERENCES', 'TRIGGER'])
        expect(await may(user, table, privilege)).toBe(false);
    }
    for (const sequence of ['items_id_seq', 'later_id_seq']) {
      for (const privilege of ['USAGE', 'SELECT', 'UPDATE']) {
        const [row] = await database.query('select has_sequence_privilege($1::name, $2, $3) as may', [
          user,
          sequence,
          privilege,
        ]);
        expect(row, `${privilege} on ${sequence}`).toEqual({ may: privilege !== 'UPDATE' });
      }
    }
    await database.query('drop table later');
  });

  test('changes nothing the second time', async () => {
    const user = newUser();
    const wish = wishFor(user, { settings: { statement_timeout: ['5s'] } });
    expect(await ensure(wish)).toEqual([
      `Made role "${user}".`,
      `Role "${user}" has what it is to have in database "${database.name}".`,
    ]);
    const first = await everything(user);
    expect(await ensure(wish, wish)).toHaveLength(1);
    expect(await everything(user)).toEqual(first);
  });

  test.each([
    'Käthe Müller',
    'it"s',
    "o'clock",
    'UPPER lower',
    '"; drop table items; --',
    "'; drop table items; --",
    '$$; drop table items; $$',
    'select',
    '%s \\ \n',
  ])('takes the name %j as it is', async (like) => {
    const user = newUser(like);
    const grants = schemaWishes([{ schema: 'Other Things', privileges: ['SELECT'] }]);
    const wish = wishFor(user, { grants, settings: { application_name: [`a'b"c; drop table items`] } });
    await ensure(wish);
    await database.query(`alter role ${name(user)} nologin`);
    await ensure({ ...wish, iam: false }, wish, scramVerifier('p'));
    expect(await everything(user)).toMatchObject({ memberOf: null, attributes: { rolcanlogin: true } });
    await ensure(wish, wish);
    expect(await may(user, '"Other Things".words', 'SELECT')).toBe(true);
    expect((await everything(user))['settings']).toEqual([[`application_name=a'b"c; drop table items`]]);
    await remove(wish);
    expect(await everything(user)).toMatchObject({ attributes: null });
    expect(await database.query('select count(*) from items')).toHaveLength(1);
  });

  test('refuses a superuser, and the administrator itself', async () => {
    const [me] = await database.query<{ me: string }>('select current_user as me');
    const error = await failure(ensure(wishFor(me?.me ?? '')));
    expect(error.message).toMatch(
      /^Role ".+" is (the administrator that the function logs in as|a superuser): it is not changed\. Choose another user\.$/,
    );
    for (const change of [ensure, remove]) {
      expect(await failure(change(wishFor('postgres')))).toMatchObject({
        message: expect.stringMatching(/is not changed/),
      });
    }
  });

  test('leaves no role behind when a schema is missing', async () => {
    const user = newUser();
    const wish = wishFor(user, { may: [{ schema: 'nowhere', privileges: 'read-only' }] });
    expect(await failure(ensure(wish))).toMatchObject({ code: '3F000', message: 'schema "nowhere" does not exist' });
    expect(await everything(user)).toMatchObject({ attributes: null });
  });

  test('names the owner of what the administrator may not give away', async () => {
    const [user, owner] = [newUser(), newUser('stranger')];
    await database.query(`create role ${name(owner)}`);
    await database.query('create schema strange');
    await database.query(`grant ${name(owner)} to current_user`);
    await database.query(`grant usage, create on schema strange to ${name(owner)}`);
    await database.query(`set role ${name(owner)}`);
    await database.query('create table strange.one (id int)');
    await database.query('create table strange.two (id int)');
    await database.query('reset role');
    const wish = wishFor(user, { may: [{ schema: 'strange', privileges: 'read-only' }] });
    await database.query(`revoke ${name(owner)} from current_user`);
    const [me] = await database.query<{ member: boolean }>(`select pg_has_role(current_user, $1, 'USAGE') as member`, [
      owner,
    ]);
    // A superuser, which the owner of DATABASE_URL may be, is a member of everything.
    if (me?.member === false) {
      expect((await failure(ensure(wish))).message).toBe(
        `"strange"."one" and 1 more cannot be granted: it belongs to "${owner}", of which the administrator is no member. ` +
          `Make it one: GRANT "${owner}" TO the administrator; and name that role in owners, if it is the one that makes tables.`,
      );
    }
    await database.query(`grant ${name(owner)} to current_user`);
    await ensure(wish);
    expect(await may(user, 'strange.one', 'SELECT')).toBe(true);
  });

  test.each(['making', 'removing'])(
    'waits for whoever else is at the users of this database when %s it',
    async (doing) => {
      const user = newUser();
      await database.query('begin');
      // The number of user.ts.
      await database.query('select pg_advisory_xact_lock(7205760)');
      const done = doing === 'making' ? ensure(wishFor(user)) : remove(wishFor(user));
      await expect
        .poll(() =>
          // Of this database: other files' tests are at the same server.
          database.query(
            `select from pg_locks l join pg_database d on d.oid = l.database
           where d.datname = current_database() and l.locktype = 'advisory' and not l.granted`,
          ),
        )
        .toHaveLength(1);
      await database.query('commit');
      expect(await done).not.toEqual([]);
    },
  );

  test('is made once when several make it at the same time', async () => {
    const user = newUser();
    await Promise.all(Array.from({ length: 4 }, () => ensure(wishFor(user))));
    expect((await everything(user))['memberOf']).toEqual(['rds_iam']);
  });
});

describe('changing a user', () => {
  test('takes back what is no longer granted, now and for later tables', async () => {
    const user = newUser();
    const before = wishFor(user);
    await ensure(before);
    await ensure(wishFor(user, { may: 'read-only' }), before);
    const found = await everything(user);
    expect(found['tables']).toEqual([
      { relname: 'items', privilege_type: 'SELECT' },
      { relname: 'items_id_seq', privilege_type: 'SELECT' },
    ]);
    expect(found['later']).toMatchObject([
      { kind: 'S', privilege_type: 'SELECT' },
      { kind: 'r', privilege_type: 'SELECT' },
    ]);
  });

  test('moves to another schema, and keeps what was given by hand elsewhere', async () => {
    const user = newUser();
    const before = wishFor(user);
    await ensure(before);
    await database.query('create schema if not exists by_hand');
    await database.query(`grant usage on schema by_hand to ${name(user)}`);
    const after: SchemaGrant = { schema: 'Other Things', privileges: ['INSERT'], create: true };
    await ensure(wishFor(user, { may: [after] }), before);
    const found = await everything(user);
    expect(found['tables']).toEqual([{ relname: '"Other Things".words', privilege_type: 'INSERT' }]);
    expect(found['schemas']).toEqual([
      { nspname: 'Other Things', privilege_type: 'CREATE' },
      { nspname: 'Other Things', privilege_type: 'USAGE' },
      { nspname: 'by_hand', privilege_type: 'USAGE' },
    ]);
    await database.query(`revoke all on schema by_hand from ${name(user)}`);
  });

  test('keeps what it has in a schema that only the wish for another database named', async () => {
    const user = newUser();
    await ensure(wishFor(user));
    await database.query(`grant usage on schema "Other Things" to ${name(user)}`);
    const elsewhere = wishFor(user, {
      may: [{ schema: 'Other Things', privileges: 'read-only' }],
      database: second.name,
    });
    await ensure(wishFor(user), elsewhere);
    expect((await everything(user))['schemas']).toContainEqual({ nspname: 'Other Things', privilege_type: 'USAGE' });
  });

  test('holds for the later tables of other owners, and no longer once they are left out', async () => {
    const [user, owner] = [newUser(), newUser('migrator')];
    await database.query(`create role ${name(owner)}`);
    await database.query(`grant ${name(owner)} to current_user`);
    await database.query(`grant create on schema public to ${name(owner)}`);
    const before = wishFor(user, { may: [{ schema: 'public', privileges: 'read-only', owners: [owner] }] });
    await ensure(before);
    await database.query(`set role ${name(owner)}`);
    await database.query('create table theirs (id int)');
    await database.query('reset role');
    expect(await may(user, 'theirs', 'SELECT')).toBe(true);
    const ownersOf = async () => ((await everything(user))['later'] as { owner: string }[]).map((one) => one.owner);
    const other = newUser('migrator');
    await database.query(`create role ${name(other)}`);
    await database.query(`grant ${name(other)} to current_user`);
    const between = wishFor(user, { may: [{ schema: 'public', privileges: 'read-only', owners: [other] }] });
    await ensure(between, before);
    expect(await ownersOf()).toEqual([other, other]);
    await ensure(wishFor(user, { may: [{ schema: 'public', privileges: 'read-only' }] }), between);
    const later = await ownersOf();
    expect(later).not.toContain(other);
    expect(later).toHaveLength(2);
    await database.query('drop table theirs');
  });

  test('sets what its sessions have, lists as lists, and resets what is left out', async () => {
    const user = newUser();
    const settings = { statement_timeout: ['5s'], search_path: ['Other Things', 'public'] };
    const before = wishFor(user, { iam: false, settings });
    await ensure(before, undefined, scramVerifier('secret word'));
    const shown = async () => {
      const client = await logIn(user, 'secret word');
      const { rows } = await client.query(
        `select current_setting('statement_timeout') as time, current_setting('search_path') as path`,
      );
      await client.end();
      return rows[0] as unknown;
    };
    expect(await shown()).toEqual({ time: '5s', path: '"Other Things", public' });
    await ensure(wishFor(user, { iam: false, settings: { statement_timeout: ['9s'] } }), before);
    expect(await shown()).toEqual({ time: '9s', path: '"$user", public' });
  });

  test('goes from IAM to a password and back', async () => {
    const user = newUser();
    await ensure(wishFor(user));
    await ensure(wishFor(user, { iam: false }), wishFor(user), scramVerifier('p'));
    expect((await everything(user))['memberOf']).toBeNull();
    const client = await logIn(user, 'p');
    await client.query(`insert into items (word) values ('written')`);
    await client.end();
    await ensure(wishFor(user), wishFor(user, { iam: false }));
    expect((await everything(user))['memberOf']).toEqual(['rds_iam']);
  });

  test('lets a role that was there log in, and does not take it for its own', async () => {
    const [user, group] = [newUser('theirs'), newUser('group')];
    // A member by way of a group does not count: others decide about the group.
    await database.query(`create role ${name(group)} in role rds_iam`);
    await database.query(`create role ${name(user)} in role ${name(group)}`);
    const wish = wishFor(user, { settings: { lock_timeout: ['1s'] } });
    await ensure(wish);
    const found = await everything(user);
    expect(found['attributes']).toMatchObject({ rolcanlogin: true });
    expect(found['memberOf']).toEqual(expect.arrayContaining([group, 'rds_iam']));
    expect(await remove(wish)).toEqual([`Role "${user}" was there before: it has lost what it was given, and stays.`]);
    const nothing = { tables: null, schemas: null, later: null, connects: null, settings: null };
    expect(await everything(user)).toMatchObject(nothing);
  });
});

describe('removing a user', () => {
  test('drops a role that owns nothing, and is content when it is gone', async () => {
    const user = newUser();
    const wish = wishFor(user, { settings: { lock_timeout: ['1s'] } });
    await ensure(wish);
    expect(await remove(wish)).toEqual([`Dropped role "${user}".`]);
    expect(await everything(user)).toEqual({
      attributes: null,
      memberOf: null,
      tables: null,
      schemas: null,
      later: null,
      connects: null,
      settings: null,
    });
    expect(await remove(wish)).toEqual([`There is no role "${user}" any more.`]);
  });

  test('keeps a role that owns tables, and the tables, and says why', async () => {
    const user = newUser();
    const wish = wishFor(user, { iam: false, may: [{ schema: 'public', privileges: 'read-write', create: true }] });
    await ensure(wish, undefined, scramVerifier('p'));
    const client = await logIn(user, 'p');
    await client.query('create table precious (id int)');
    await client.end();
    expect(await remove(wish)).toEqual([
      `Role "${user}" has lost what it was given, and stays: owner of table precious`,
    ]);
    expect(await everything(user)).toMatchObject({ schemas: null, later: null, attributes: { rolcanlogin: true } });
    expect(
      await database.query('select relowner::regrole::text as owner from pg_class where relname = $1', ['precious']),
    ).toEqual([{ owner: user }]);
    // What it owns is no hindrance to having it back.
    await ensure(wish);
    await ensure(wish, wish);
    expect(await may(user, 'items', 'INSERT')).toBe(true);
    await database.query(`grant ${name(user)} to current_user`);
    await database.query('drop table precious');
  });

  test('removes what is left when a schema is gone', async () => {
    const user = newUser();
    await database.query('create schema passing');
    const wish = wishFor(user, { may: [{ schema: 'passing', privileges: 'read-only' }] });
    await ensure(wish);
    await database.query('drop schema passing cascade');
    expect(await remove(wish)).toEqual([`Dropped role "${user}".`]);
  });
});

describe('the statements', () => {
  const wish = wishFor('it"s', { database: 'a"b' });
  const grant = { schema: 'c"d', privileges: ['INSERT'], create: false, owners: ['e"f'] } as const;

  test('quote every name, and settings are those of the database', () => {
    expect([connect(wish), disconnect(wish)]).toEqual([
      'GRANT CONNECT ON DATABASE "a""b" TO "it""s"',
      'REVOKE ALL ON DATABASE "a""b" FROM "it""s"',
    ]);
    expect([setSetting(wish, 'myApp.Tenant', [`g'h`, 'i']), resetSetting(wish, 'myApp.Tenant')]).toEqual([
      `ALTER ROLE "it""s" IN DATABASE "a""b" SET "myapp"."tenant" TO 'g''h', 'i'`,
      'ALTER ROLE "it""s" IN DATABASE "a""b" RESET "myapp"."tenant"',
    ]);
    expect(grantIn('it"s', grant, { tables: ['j"k', 'l'], sequences: ['m"n'] })).toEqual([
      'GRANT USAGE ON SCHEMA "c""d" TO "it""s"',
      'GRANT INSERT ON TABLE "c""d"."j""k", "c""d"."l" TO "it""s"',
      'ALTER DEFAULT PRIVILEGES FOR ROLE "e""f" IN SCHEMA "c""d" GRANT INSERT ON TABLES TO "it""s"',
      'GRANT USAGE ON SEQUENCE "c""d"."m""n" TO "it""s"',
      'ALTER DEFAULT PRIVILEGES FOR ROLE "e""f" IN SCHEMA "c""d" GRANT USAGE ON SEQUENCES TO "it""s"',
    ]);
  });

  test.each<[readonly TablePrivilege[], string[]]>([
    [[], []],
    [['DELETE'], []],
    [['SELECT'], ['GRANT SELECT ON SEQUENCE "s"."q" TO "u"']],
    [['UPDATE'], ['GRANT USAGE ON SEQUENCE "s"."q" TO "u"']],
    [['SELECT', 'INSERT'], ['GRANT SELECT, USAGE ON SEQUENCE "s"."q" TO "u"']],
  ])('for the privileges %j on tables give %j', (privileges, expected) => {
    const own = { schema: 's', privileges, create: true, owners: [] };
    const made = grantIn('u', own, { tables: ['t'], sequences: ['q'] });
    expect(made[0]).toBe('GRANT USAGE, CREATE ON SCHEMA "s" TO "u"');
    expect(made.filter((text) => / ON SEQUENCE /.test(text))).toEqual(expected);
    expect(made).toHaveLength(1 + (privileges.length > 0 ? 2 : 0) + 2 * expected.length);
  });
});

test.each(['', 'pass\u00e4', 'line\n'])('a password like %j has no verifier', (password) => {
  expect(() => scramVerifier(password)).toThrow('characters outside printable ASCII');
});

test('a verifier is the one that PostgreSQL itself would keep', () => {
  // RFC 7677, 3: the password "pencil" with this salt and 4096 iterations.
  expect(scramVerifier('pencil', Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'))).toBe(
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  );
});

describe('a server of its own', () => {
  test('names what is missing without rds_iam, and never learns a password', async () => {
    await using server = await startPostgres({ settings: { log_statement: 'all' } });
    const { pool } = pools({ connectionString: server.connectionString });
    await server.admin(`alter role ${name(server.user)} createrole`);
    const log = (): void => {};
    const wish = { ...wishFor('app2'), database: server.database };
    const attempt = pool.transaction((tx) => ensureUser(tx, wish, { log }));
    expect((await failure(attempt)).message).toBe(
      'The server has no role rds_iam, so "app2" cannot log in with IAM: only RDS and Aurora have it. Say iam: false.',
    );
    const verifier = scramVerifier('never-to-be-seen');
    await pool.transaction((tx) => ensureUser(tx, { ...wish, iam: false }, { verifier, log }));
    const written = await server.log();
    if (server.managed) expect(written).toContain('CREATE ROLE "app2" LOGIN');
    expect(written).not.toContain('never-to-be-seen');
    await pool.end();
  });
});

test('views and tables of every kind are granted, those of extensions are not, and what cannot be dropped is said', async (ctx) => {
  await using server = await startPostgres();
  // The owner of DATABASE_URL may be no superuser, and its server is not this test's.
  if (!server.managed) ctx.skip('needs a server of its own');
  const { pool } = pools({ connectionString: server.connectionString });
  const log = (): void => {};
  await server.admin(`alter role ${name(server.user)} createrole`);
  for (const sql of [
    'create schema kinds',
    'create table kinds.parts (id int) partition by range (id)',
    'create table kinds.part partition of kinds.parts default',
    'create view kinds.view as select 1 as one',
    'create materialized view kinds.kept as select 1 as one',
    'create foreign data wrapper nothing',
    'create server nowhere foreign data wrapper nothing',
    'create foreign table kinds.far (id int) server nowhere',
    ...[
      'table kinds.parts',
      'table kinds.part',
      'view kinds.view',
      'materialized view kinds.kept',
      'foreign table kinds.far',
      'schema kinds',
    ].map((what) => `alter ${what} owner to ${name(server.user)}`),
    'create table kinds.of_extension (id int)',
    'alter extension plpgsql add table kinds.of_extension',
    'create role foreigner',
    `comment on role foreigner is '${mark}'`,
  ]) {
    await server.admin(sql);
  }
  const wish = { ...wishFor('app3', { iam: false }), database: server.database };
  const grants = schemaWishes([{ schema: 'kinds', privileges: 'read-only' }]);
  await pool.transaction((tx) => ensureUser(tx, { ...wish, grants }, { log }));
  const { rows } = await server.admin(
    `select c.relname from pg_class c, aclexplode(c.relacl) a join pg_roles r on r.oid = a.grantee
     where r.rolname = 'app3' and a.privilege_type = 'SELECT' order by 1`,
  );
  expect(rows.map(({ relname }) => relname as string)).toEqual(['far', 'kept', 'part', 'parts', 'view']);
  const foreigner = { ...wish, user: 'foreigner', grants: [] };
  expect(await failure(pool.transaction((tx) => removeUser(tx, foreigner, { log })))).toMatchObject({ code: '42501' });
  await pool.end();
});

describe('the bundled function', () => {
  const { host, port, user: admin, password } = inject('postgres');
  let manager: SecretsManagerDouble;
  let folder: string;
  let secretArn: string;

  beforeAll(async () => {
    manager = await SecretsManagerDouble.start();
    secretArn = manager.store.create('admin', { username: admin, password, engine: 'postgres' }).arn;
    folder = await mkdtemp(join(tmpdir(), 'thawpool-database-user-'));
    bundleDatabaseUser(join(folder, 'index.mjs'));
    // Lambda has the AWS SDK beside the function.
    await symlink(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(folder, 'node_modules'));
  });
  afterAll(async () => {
    await manager[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  function propertiesOf(user: string, more: Readonly<Record<string, string>> = {}) {
    return {
      ServiceToken: 'arn:aws:lambda:eu-west-1:111122223333:function:framework',
      SecretArn: secretArn,
      Host: host,
      Port: String(port),
      Database: database.name,
      User: user,
      Iam: 'true',
      Grants: JSON.stringify(schemaWishes('read-write')),
      Settings: '{}',
      ...more,
    };
  }

  /** Sends CloudFormation's event, and returns what CloudFormation gets back, and all that was logged. */
  async function send(
    event: Readonly<Record<string, unknown>>,
    { millis = 60_000, hears }: { readonly millis?: number; readonly hears?: (output: string) => void } = {},
  ) {
    const answered: string[] = [];
    const cloudFormation = createServer((request, response) => {
      void text(request).then((body) => {
        answered.push(body);
        response.end();
      });
    });
    const at = await listenAnywhere(cloudFormation);
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL('children/database-user.ts', import.meta.url)), join(folder, 'index.mjs'), String(millis)],
      {
        env: { PATH: process.env['PATH'], AWS_REGION: 'eu-west-1', ...manager.environment },
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    );
    const ended = once(child, 'close');
    child.stdout.on('data', (chunk: Buffer) => hears?.(String(chunk)));
    const said = Promise.all([text(child.stdout), text(child.stderr)]);
    child.stdin.end(
      JSON.stringify({
        ResponseURL: `http://${LOOPBACK}:${at}/answer?signature=hidden`,
        StackId: 'arn:aws:cloudformation:eu-west-1:111122223333:stack/orders/1',
        RequestId: randomUUID(),
        LogicalResourceId: 'User',
        ResourceType: 'Custom::ThawpoolDatabaseUser',
        ...event,
      }),
    );
    await ended;
    cloudFormation.close();
    const [out, err] = await said;
    expect(answered, err).toHaveLength(1);
    return {
      // The whole of it: a test that fails shows the reason.
      answer: JSON.parse(answered[0] ?? '') as { Status: string; PhysicalResourceId: string; Reason: string },
      raw: answered[0] ?? '',
      said: out + err,
    };
  }

  test('makes, renames and removes a user as CloudFormation asks', async () => {
    const [first, second] = [newUser(), newUser()];
    const settings = { Settings: JSON.stringify({ lock_timeout: ['1s'] }) };
    const create = await send({ RequestType: 'Create', ResourceProperties: propertiesOf(first, settings) });
    expect((await everything(first))['settings']).toEqual([['lock_timeout=1s']]);
    expect(create.answer).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: `${first}@${database.name}` });
    expect((await everything(first))['memberOf']).toEqual(['rds_iam']);
    const update = await send({
      RequestType: 'Update',
      PhysicalResourceId: create.answer.PhysicalResourceId,
      ResourceProperties: propertiesOf(second),
      OldResourceProperties: propertiesOf(first),
    });
    // Another id: CloudFormation now deletes the first one.
    expect(update.answer).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: `${second}@${database.name}` });
    const remove = await send({
      RequestType: 'Delete',
      PhysicalResourceId: create.answer.PhysicalResourceId,
      ResourceProperties: propertiesOf(first),
    });
    expect(remove.answer).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: `${first}@${database.name}` });
    expect(await everything(first)).toMatchObject({ attributes: null });
    expect(await everything(second)).toMatchObject({ attributes: { rolcanlogin: true } });
    for (const { raw, said } of [create, update, remove]) {
      for (const hidden of [password, 'test/only/secret', 'signature=hidden']) expect(raw + said).not.toContain(hidden);
    }
    expect(create.raw).not.toContain(secretArn);
  });

  test('takes back what an update leaves out, and does with an earlier state that cannot be read', async () => {
    const user = newUser();
    const one = propertiesOf(user, {
      Grants: JSON.stringify(schemaWishes([{ schema: 'Other Things', privileges: 'read-only' }])),
    });
    await send({ RequestType: 'Create', ResourceProperties: one });
    const rest = {
      RequestType: 'Update',
      PhysicalResourceId: `${user}@${database.name}`,
      ResourceProperties: propertiesOf(user),
    };
    const { answer } = await send({ ...rest, OldResourceProperties: one });
    expect(answer).toMatchObject({ Status: 'SUCCESS' });
    expect((await everything(user))['schemas']).toEqual([{ nspname: 'public', privilege_type: 'USAGE' }]);
    expect((await send({ ...rest, OldResourceProperties: { User: '' } })).answer).toMatchObject({ Status: 'SUCCESS' });
  });

  test.each<[string, Readonly<Record<string, string>>, string]>([
    ['a database that is not there', { Database: 'nowhere' }, 'database "nowhere" does not exist'],
    ['a reserved name', { User: 'rds_app' }, 'The user "rds_app" cannot be made'],
    [
      'a privilege that there is not',
      { Grants: '[{"schema":"public","privileges":["EXECUTE"]}]' },
      '"EXECUTE" is no privilege',
    ],
  ])('fails at once for %s', async (_, more, reason) => {
    const { answer, said } = await send({ RequestType: 'Create', ResourceProperties: propertiesOf(newUser(), more) });
    expect(answer).toMatchObject({ Status: 'FAILED', Reason: expect.stringContaining(reason) });
    expect(said).not.toContain('Trying again');
  });

  test('shares a user of two databases, made at once, which goes with the last of them', async () => {
    const user = newUser();
    const properties = [database, second].map((one) => propertiesOf(user, { Database: one.name }));
    const made = await Promise.all(properties.map((one) => send({ RequestType: 'Create', ResourceProperties: one })));
    expect(made.map(({ answer }) => answer.Status)).toEqual(['SUCCESS', 'SUCCESS']);
    const removed: string[] = [];
    for (const [index, one] of properties.entries()) {
      const { PhysicalResourceId } = made[index]?.answer ?? {};
      const { said } = await send({ RequestType: 'Delete', PhysicalResourceId, ResourceProperties: one });
      removed.push(said.includes(`Dropped role "${user}".`) ? 'dropped' : 'kept');
    }
    expect(removed).toEqual(['kept', 'dropped']);
  });

  test('gives a user the password of its secret', async () => {
    const user = newUser();
    const own = manager.store.create('user', { username: user, password: 'the users own' });
    const more = { Iam: 'false', PasswordSecretArn: own.arn };
    const { answer, raw, said } = await send({ RequestType: 'Create', ResourceProperties: propertiesOf(user, more) });
    expect(answer).toMatchObject({ Status: 'SUCCESS' });
    expect(raw + said).not.toContain('the users own');
    expect((await everything(user))['memberOf']).toBeNull();
    await (await logIn(user, 'the users own')).end();
  });

  test('refuses a password of which no verifier can be made here, and does not send it to the server instead', async () => {
    const own = manager.store.create('accented', { username: 'accented', password: 'pässwörd' });
    const more = { Iam: 'false', PasswordSecretArn: own.arn };
    const { answer, raw, said } = await send({
      RequestType: 'Create',
      ResourceProperties: propertiesOf(newUser(), more),
    });
    expect(answer).toMatchObject({ Status: 'FAILED', Reason: expect.stringContaining('outside printable ASCII') });
    expect(raw + said).not.toContain('pässwörd');
  });

  test('tries again while the secret cannot be read', async () => {
    const user = newUser();
    const late = manager.store.create('late');
    const { answer, said } = await send(
      { RequestType: 'Create', ResourceProperties: propertiesOf(user, { SecretArn: late.arn }) },
      // Once it has failed, the secret gets what it is to hold.
      { hears: (output) => void (output.includes('Trying again: ') && late.put({ username: admin, password })) },
    );
    expect(answer).toMatchObject({ Status: 'SUCCESS' });
    expect(said).toContain('Trying again: ');
  });

  test('fails with the reason, and leaves nothing to delete', async () => {
    const user = newUser();
    const grants = JSON.stringify(schemaWishes([{ schema: 'nowhere', privileges: 'read-only' }]));
    const { answer, said } = await send({
      RequestType: 'Create',
      ResourceProperties: propertiesOf(user, { Grants: grants }),
    });
    expect(said).not.toContain('Trying again');
    expect(answer).toMatchObject({
      Status: 'FAILED',
      Reason: expect.stringContaining('schema "nowhere" does not exist'),
    });
    expect(answer.PhysicalResourceId).toBe('AWSCDK::CustomResourceProviderFramework::CREATE_FAILED');
  });

  test('keeps ten seconds for the answer, and names the server that it did not reach', async () => {
    const { answer, said } = await send(
      { RequestType: 'Create', ResourceProperties: propertiesOf(newUser(), { Host: 'nowhere.invalid' }) },
      { millis: 10_000 },
    );
    expect(answer).toMatchObject({ Status: 'FAILED', Reason: expect.stringContaining('nowhere.invalid') });
    expect(said).not.toContain('Trying again');
  });

  test('does not wait for others at the server beyond its time, and can be seen to wait there', async () => {
    await database.query('select pg_advisory_lock(7205760)');
    try {
      const sending = send({ RequestType: 'Create', ResourceProperties: propertiesOf(newUser()) }, { millis: 12_000 });
      const waiting = `select 1 from pg_stat_activity
        where application_name = 'thawpool-database-user' and datname = current_database() and wait_event_type = 'Lock'`;
      await expect.poll(() => database.query(waiting)).toHaveLength(1);
      const { answer } = await sending;
      expect(answer).toMatchObject({ Status: 'FAILED', Reason: expect.stringContaining('statement timeout') });
    } finally {
      await database.query('select pg_advisory_unlock(7205760)');
    }
  });

  test('lets a stack go whose server is gone', async () => {
    const user = newUser();
    const gone = createServer();
    const nobody = await listenAnywhere(gone);
    gone.close();
    await once(gone, 'close');
    // Eleven seconds less the ten that are kept for the answer.
    const { answer, said } = await send(
      {
        RequestType: 'Delete',
        PhysicalResourceId: `${user}@${database.name}`,
        ResourceProperties: propertiesOf(user, { Host: LOOPBACK, Port: String(nobody) }),
      },
      { millis: 11_000 },
    );
    expect(answer).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: `${user}@${database.name}` });
    expect(said).toContain('The user stays as it is: ');
  });
});
