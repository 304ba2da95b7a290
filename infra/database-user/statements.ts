/** The statements that make a user what it is to be, as text. Names and values come in quoted by pg and in no other way. */
import pg from 'pg';
import type { SchemaWish, TablePrivilege, UserWish } from './wish.ts';

const { escapeIdentifier: name, escapeLiteral: literal } = pg;

/** What stands in the comment of each role that is made here: others are never dropped. */
export const mark = 'Made by DatabaseUser of thawpool';

/** A sequence is read with SELECT, and drawn from with USAGE (PostgreSQL documentation, 5.8): whoever writes draws. */
function sequencePrivileges(privileges: readonly TablePrivilege[]): string[] {
  const writes = privileges.includes('INSERT') || privileges.includes('UPDATE');
  return [...(privileges.includes('SELECT') ? ['SELECT'] : []), ...(writes ? ['USAGE'] : [])];
}

/** ALTER DEFAULT PRIVILEGES holds for objects of one owner each; without FOR ROLE, for those of whoever says it. */
const owners = (grant: SchemaWish): string[] =>
  grant.owners.length === 0 ? [''] : grant.owners.map((owner) => `FOR ROLE ${name(owner)} `);

/** A role that can log in, and does not hold anything yet. */
export const createRole = (user: string): string[] => [
  `CREATE ROLE ${name(user)} LOGIN`,
  `COMMENT ON ROLE ${name(user)} IS ${literal(mark)}`,
];

export const allowLogin = (user: string): string => `ALTER ROLE ${name(user)} LOGIN`;

export const dropRole = (user: string): string => `DROP ROLE ${name(user)}`;

/** @param verifier - what the server keeps of a password; not the password */
export const setPassword = (user: string, verifier: string): string =>
  `ALTER ROLE ${name(user)} PASSWORD ${literal(verifier)}`;

export const joinIam = (user: string): string => `GRANT rds_iam TO ${name(user)}`;

export const leaveIam = (user: string): string => `REVOKE rds_iam FROM ${name(user)}`;

/** Everything in the database that the wish names. */
export function grantAll({ user, database, grants }: UserWish): string[] {
  return [
    `GRANT CONNECT ON DATABASE ${name(database)} TO ${name(user)}`,
    ...grants.flatMap((grant) => grantIn(user, grant)),
  ];
}

function grantIn(user: string, grant: SchemaWish): string[] {
  const [schema, role] = [name(grant.schema), name(user)];
  const tables = grant.privileges.join(', ');
  const sequences = sequencePrivileges(grant.privileges).join(', ');
  const lines = [`GRANT USAGE${grant.create ? ', CREATE' : ''} ON SCHEMA ${schema} TO ${role}`];
  for (const [privileges, objects] of [
    [tables, 'TABLES'],
    [sequences, 'SEQUENCES'],
  ]) {
    if (privileges === '') continue;
    lines.push(`GRANT ${privileges} ON ALL ${objects} IN SCHEMA ${schema} TO ${role}`);
    for (const forOwner of owners(grant)) {
      lines.push(
        `ALTER DEFAULT PRIVILEGES ${forOwner}IN SCHEMA ${schema} GRANT ${privileges} ON ${objects} TO ${role}`,
      );
    }
  }
  return lines;
}

/** Takes back what {@link grantAll} gives in one schema. Taking back what was never given is nothing. */
export function revokeIn(user: string, grant: SchemaWish): string[] {
  const [schema, role] = [name(grant.schema), name(user)];
  return [
    `REVOKE ALL ON SCHEMA ${schema} FROM ${role}`,
    ...['TABLES', 'SEQUENCES'].flatMap((objects) => [
      `REVOKE ALL ON ALL ${objects} IN SCHEMA ${schema} FROM ${role}`,
      ...owners(grant).map(
        (forOwner) => `ALTER DEFAULT PRIVILEGES ${forOwner}IN SCHEMA ${schema} REVOKE ALL ON ${objects} FROM ${role}`,
      ),
    ]),
  ];
}

export const disconnect = ({ user, database }: UserWish): string =>
  `REVOKE ALL ON DATABASE ${name(database)} FROM ${name(user)}`;

/** A setting of this role in this database: another database's user of the same name keeps its own. */
export function setSetting({ user, database }: UserWish, setting: string, values: readonly string[]): string {
  return `${inDatabase(user, database)} SET ${settingName(setting)} TO ${values.map(literal).join(', ')}`;
}

export const resetSetting = ({ user, database }: UserWish, setting: string): string =>
  `${inDatabase(user, database)} RESET ${settingName(setting)}`;

const inDatabase = (user: string, database: string): string => `ALTER ROLE ${name(user)} IN DATABASE ${name(database)}`;

/** `myapp.tenant` is two names. Settings are looked up in lower case, as quoted ones are not. */
const settingName = (setting: string): string => setting.toLowerCase().split('.').map(name).join('.');
