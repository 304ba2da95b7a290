/** Makes a database user what it is to be, and takes it away again. It is handed a transaction, and knows no CloudFormation. */
import pg from 'pg';
import type { Transaction } from 'thawpool';
import {
  allowLogin,
  connect,
  createRole,
  disconnect,
  dropRole,
  grantIn,
  joinIam,
  leaveIam,
  mark,
  resetSetting,
  revokeIn,
  type SchemaObjects,
  setPassword,
  setSetting,
} from './statements.ts';
import type { SchemaWish, UserWish } from './wish.ts';

/** What the work needs besides. */
export interface UserWork {
  /** The wish that was carried out before this one, if any: what it gave and this one does not is taken back. */
  readonly before?: UserWish | undefined;
  /** What the server is to keep of the user's password. */
  readonly verifier?: string | undefined;
  /** Hears what was done, without secrets. */
  readonly log: (message: string) => void;
}

interface Role {
  readonly rolsuper: boolean;
  readonly rolcanlogin: boolean;
  readonly self: boolean;
  readonly ours: boolean;
  readonly iam: boolean;
}

// Any number will do, as long as nothing else in this database takes it.
const USER_LOCK = 7_205_760;

async function roleOf(tx: Transaction, user: string): Promise<Role | undefined> {
  // pg_auth_members rather than pg_has_role(): a superuser has every role without being a member.
  const { rows } = await tx.query<Role>(
    `select r.rolsuper, r.rolcanlogin, r.rolname = current_user as self,
       coalesce(shobj_description(r.oid, 'pg_authid') = $2, false) as ours,
       exists (select from pg_auth_members m join pg_roles g on g.oid = m.roleid
         where m.member = r.oid and g.rolname = 'rds_iam') as iam
     from pg_roles r where r.rolname = $1`,
    [user, mark],
  );
  return rows[0];
}

async function run(tx: Transaction, statements: readonly string[]): Promise<void> {
  for (const statement of statements) await tx.query(statement);
}

/**
 * Brings the user to what the wish says, whatever it was: run twice, the second time changes nothing. In the schemas of
 * the wish and of the one before, the user has afterwards what the wish says and nothing else; elsewhere it is left alone.
 *
 * @throws Error when the role is a superuser, the administrator itself, or the server knows no `rds_iam`; the server's own
 * for a schema that is not there, or tables that the administrator may not give away.
 */
export async function ensureUser(tx: Transaction, wish: UserWish, work: UserWork): Promise<void> {
  const { user } = wish;
  const { before, verifier, log } = work;
  await tx.query('select pg_advisory_xact_lock($1)', [USER_LOCK]);
  const role = await roleOf(tx, user);
  refuseMighty(user, role);
  if (role === undefined) {
    await run(tx, createRole(user));
    log(`Made role "${user}".`);
  } else if (!role.rolcanlogin) await tx.query(allowLogin(user));
  await logInBy(tx, wish, role);
  if (verifier !== undefined) await tx.query(setPassword(user, verifier));
  // All in one transaction: nobody sees the moment between taking and giving.
  for (const grant of managed(wish, before)) await revoke(tx, user, grant);
  await tx.query(connect(wish));
  for (const grant of wish.grants)
    await run(tx, grantIn(user, grant, grantable(await objectsOf(tx, user, grant), grant)));
  await applySettings(tx, wish, before);
  log(`Role "${user}" has what it is to have in database "${wish.database}".`);
}

function refuseMighty(user: string, role: Role | undefined): void {
  if (!role?.rolsuper && !role?.self) return;
  const what = role.self ? 'the administrator that the function logs in as' : 'a superuser';
  throw new Error(`Role "${user}" is ${what}: it is not changed. Choose another user.`);
}

async function logInBy(tx: Transaction, { user, iam }: UserWish, role: Role | undefined): Promise<void> {
  const member = role?.iam ?? false;
  if (iam === member) return;
  // A member of rds_iam can log in with a token and no longer with its password (Amazon RDS User Guide, "Creating a database account using IAM authentication").
  if (!iam) return void (await tx.query(leaveIam(user)));
  const { rows } = await tx.query(`select from pg_roles where rolname = 'rds_iam'`);
  if (rows.length === 0) {
    throw new Error(
      `The server has no role rds_iam, so "${user}" cannot log in with IAM: only RDS and Aurora have it. Say iam: false.`,
    );
  }
  await tx.query(joinIam(user));
}

/** The schemas of both wishes; of one that is in both, the owners of both. */
function managed(wish: UserWish, before: UserWish | undefined): SchemaWish[] {
  const known = new Map(wish.grants.map((grant) => [grant.schema, grant]));
  const others = before !== undefined && before.database === wish.database ? before.grants : [];
  return [...wish.grants, ...others.filter((grant) => differs(grant, known.get(grant.schema)))];
}

const differs = (one: SchemaWish, other: SchemaWish | undefined): boolean =>
  other === undefined || one.owners.join('\0') !== other.owners.join('\0');

/** Takes back what may have been given in a schema, if it is still there. */
async function revoke(tx: Transaction, user: string, grant: SchemaWish): Promise<void> {
  const { rows } = await tx.query('select from pg_namespace where nspname = $1', [grant.schema]);
  if (rows.length === 0) return;
  // What the administrator cannot give away it has never given.
  const ours = (await objectsOf(tx, user, grant)).filter((object) => object.ours);
  await run(tx, revokeIn(user, grant, namesOf(ours)));
}

interface SchemaObject {
  readonly name: string;
  readonly sequence: boolean;
  readonly owner: string;
  /** The administrator may grant it: it owns it, or is a member of the role that does. */
  readonly ours: boolean;
}

/**
 * What is to be granted in a schema. Not among it: what the user owns, and so may do everything with, and what belongs to
 * an extension, which on RDS is the platform's (PostGIS's spatial_ref_sys), and which the extension has granted itself.
 */
async function objectsOf(tx: Transaction, user: string, { schema }: SchemaWish): Promise<SchemaObject[]> {
  const { rows } = await tx.query<SchemaObject>(
    `select c.relname as name, c.relkind = 'S' as sequence, r.rolname as owner,
       pg_has_role(current_user, c.relowner, 'USAGE') as ours
     from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner
     where n.nspname = $1 and r.rolname <> $2 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
       and not exists (select from pg_depend d
         where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
     order by c.relname`,
    [schema, user],
  );
  return rows;
}

const namesOf = (objects: readonly SchemaObject[]): SchemaObjects => ({
  tables: objects.filter((object) => !object.sequence).map((object) => object.name),
  sequences: objects.filter((object) => object.sequence).map((object) => object.name),
});

/** @throws Error that names what the administrator may not give away */
function grantable(objects: readonly SchemaObject[], { schema }: SchemaWish): SchemaObjects {
  const [first, ...others] = objects.filter((object) => !object.ours);
  if (first === undefined) return namesOf(objects);
  throw new Error(
    `"${schema}"."${first.name}"${others.length > 0 ? ` and ${others.length} more` : ''} cannot be granted: it belongs to ` +
      `"${first.owner}", of which the administrator is no member. Make it one: GRANT ${pg.escapeIdentifier(first.owner)} TO ` +
      'the administrator; and name that role in owners, if it is the one that makes tables.',
  );
}

async function applySettings(tx: Transaction, wish: UserWish, before: UserWish | undefined): Promise<void> {
  const gone = Object.keys(before?.settings ?? {}).filter((setting) => !(setting in wish.settings));
  for (const setting of gone) await tx.query(resetSetting(wish, setting));
  for (const [setting, values] of Object.entries(wish.settings)) await tx.query(setSetting(wish, setting, values));
}

/**
 * Takes back what was given, and drops the role if it was made here and owns nothing. Otherwise the role stays, and the
 * log says why. A role or a schema that is not there any more is nothing.
 */
export async function removeUser(tx: Transaction, wish: UserWish, { log }: Pick<UserWork, 'log'>): Promise<void> {
  const { user } = wish;
  await tx.query('select pg_advisory_xact_lock($1)', [USER_LOCK]);
  const role = await roleOf(tx, user);
  if (role === undefined) return log(`There is no role "${user}" any more.`);
  refuseMighty(user, role);
  for (const grant of wish.grants) await revoke(tx, user, grant);
  await tx.query(disconnect(wish));
  for (const setting of Object.keys(wish.settings)) await tx.query(resetSetting(wish, setting));
  if (!role.ours) return log(`Role "${user}" was there before: it has lost what it was given, and stays.`);
  await drop(tx, user, log);
}

async function drop(tx: Transaction, user: string, log: (message: string) => void): Promise<void> {
  try {
    await tx.transaction((inner) => inner.query(dropRole(user)));
    log(`Dropped role "${user}".`);
  } catch (error) {
    // dependent_objects_still_exist: what it owns, or what somebody else has given it. DROP OWNED would drop tables.
    if ((error as { code?: unknown }).code !== '2BP01') throw error;
    const { detail } = error as { detail?: string };
    log(`Role "${user}" has lost what it was given, and stays: ${detail ?? 'objects depend on it'}`);
  }
}
