/** What a database user is to be: as the construct writes it, as CloudFormation hands it on, and as the statements take it. */

/** The privileges on tables and views that can be given (PostgreSQL documentation, 5.8 "Privileges"). */
export const tablePrivileges = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'] as const;

/** Names a privilege on tables and views. */
export type TablePrivilege = (typeof tablePrivileges)[number];

/** Says what a user may do in one schema. */
export interface SchemaGrant {
  /** The schema's name; it must exist. */
  readonly schema: string;
  /** On its tables, those there are and those that its owners make later; sequences follow. */
  readonly privileges: 'read-only' | 'read-write' | readonly TablePrivilege[];
  /**
   * Lets the user make tables of its own in it.
   *
   * @default false
   */
  readonly create?: boolean;
  /**
   * The roles whose future tables it holds for: those that run the migrations. The administrator must be a member of each.
   *
   * @default - the administrator of `adminSecret` alone
   */
  readonly owners?: readonly string[];
}

/** Says what a user may do: the two words are for schema `public`. */
export type UserGrants = 'read-only' | 'read-write' | readonly SchemaGrant[];

/** A setting's value; several words for one that is a list, such as `search_path`. */
export type SettingValue = string | number | boolean | readonly string[];

/** One schema with everything said. */
export interface SchemaWish {
  readonly schema: string;
  readonly privileges: readonly TablePrivilege[];
  readonly create: boolean;
  readonly owners: readonly string[];
}

/** One user with everything said. */
export interface UserWish {
  readonly user: string;
  readonly database: string;
  /** Logs in with IAM tokens. */
  readonly iam: boolean;
  readonly grants: readonly SchemaWish[];
  readonly settings: Readonly<Record<string, readonly string[]>>;
}

/** What CloudFormation hands to the function, in its names and with everything a string. */
export interface UserProperties {
  readonly SecretArn: string;
  readonly PasswordSecretArn?: string;
  readonly Host: string;
  readonly Port: string;
  readonly Database: string;
  readonly User: string;
  readonly Iam: string;
  /** JSON of {@link SchemaWish}[]. CloudFormation would make strings of its booleans. */
  readonly Grants: string;
  /** JSON of {@link UserWish.settings}. */
  readonly Settings: string;
}

const readOnly: readonly TablePrivilege[] = ['SELECT'];
const readWrite: readonly TablePrivilege[] = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'];

/** NAMEDATALEN - 1 (PostgreSQL documentation, 4.1.1): the server cuts off what is longer, and makes another user. */
const longestName = 63;

/**
 * Says everything that {@link UserGrants} leaves unsaid.
 *
 * @throws Error for a schema without a name or named twice, and for a privilege that PostgreSQL does not have.
 */
export function schemaWishes(grants: UserGrants): SchemaWish[] {
  const list = typeof grants === 'string' ? [{ schema: 'public', privileges: grants }] : grants;
  const seen = new Set<string>();
  return list.map((grant: SchemaGrant) => {
    checkName('schema', grant.schema);
    if (seen.has(grant.schema)) throw new Error(`Schema "${grant.schema}" is in grants twice: say all in one place.`);
    seen.add(grant.schema);
    for (const owner of grant.owners ?? []) checkName('owner', owner);
    return {
      schema: grant.schema,
      privileges: privilegesOf(grant),
      create: grant.create ?? false,
      owners: grant.owners ?? [],
    };
  });
}

function privilegesOf({ schema, privileges }: SchemaGrant): readonly TablePrivilege[] {
  if (privileges === 'read-only') return readOnly;
  if (privileges === 'read-write') return readWrite;
  const known = new Set<string>(tablePrivileges);
  const wrong = privileges.find((privilege) => !known.has(privilege));
  if (wrong === undefined) return privileges;
  throw new Error(
    `"${wrong}" is no privilege on tables (schema "${schema}"): use read-only, read-write, or some of ${tablePrivileges.join(', ')}.`,
  );
}

/**
 * Checks the name of a user, a schema or an owner.
 *
 * @throws Error when it is empty, holds a zero byte or is longer than the 63 bytes that PostgreSQL keeps.
 */
export function checkName(what: string, name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes === 0 || bytes > longestName || name.includes('\0')) {
    throw new Error(
      `The ${what} ${JSON.stringify(name)} has ${bytes} bytes: PostgreSQL's names have 1 to ${longestName}, without a zero byte.`,
    );
  }
}

/**
 * Checks the name of a user as {@link checkName} does, and that PostgreSQL or RDS has not reserved it.
 *
 * @throws Error
 */
export function checkUser(user: string): void {
  checkName('user', user);
  // "pg_" is PostgreSQL's own (CREATE ROLE); the others are those of RDS (Amazon RDS User Guide, "Understanding PostgreSQL roles and permissions").
  if (
    /^(?:pg_|rds_|rdsadmin|rdsproxyadmin$|rdsrepladmin$|rdstopmgr$)/.test(user) ||
    user === 'public' ||
    user === 'none'
  ) {
    throw new Error(
      `The user "${user}" cannot be made: PostgreSQL and RDS keep that name for themselves. Choose another.`,
    );
  }
}

/**
 * Brings settings into one shape.
 *
 * @throws Error for a name that cannot be one of a setting.
 */
export function settingWishes(settings: Readonly<Record<string, SettingValue>>): Record<string, readonly string[]> {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => {
      if (!/^[a-z_][\w$]*(?:\.[a-z_][\w$]*)?$/i.test(name)) {
        throw new Error(
          `${JSON.stringify(name)} is no name of a PostgreSQL setting: expected is one like statement_timeout.`,
        );
      }
      return [name, typeof value === 'object' ? value : [String(value)]];
    }),
  );
}

/**
 * Reads what CloudFormation hands on.
 *
 * @throws Error when it is not what the construct has written.
 */
export function readWish(properties: UserProperties): UserWish {
  checkUser(properties.User);
  const settings = JSON.parse(properties.Settings) as Record<string, readonly string[]>;
  return {
    user: properties.User,
    database: properties.Database,
    iam: properties.Iam === 'true',
    grants: schemaWishes(JSON.parse(properties.Grants) as SchemaWish[]),
    settings: settingWishes(settings),
  };
}
