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

/** What there is in a schema already. */
export interface SchemaObjects {
  /** Tables, and what is granted like one: views, materialised views, foreign tables. */
  readonly tables: readonly string[];
  readonly sequences: readonly string[];
}

export const connect = ({ user, database }: UserWish): string =>
  `GRANT CONNECT ON DATABASE ${name(database)} TO ${name(user)}`;

export const disconnect = ({ user, database }: UserWish): string =>
  `REVOKE ALL ON DATABASE ${name(database)} FROM ${name(user)}`;

/** What the wish says of one schema: on what there is, and on what its owners make later. */
export function grantIn(user: string, grant: SchemaWish, there: SchemaObjects): string[] {
  const role = name(user);
  const give = (privileges: readonly string[], kind: Kind): string[] =>
    privileges.length === 0
      ? []
      : each(grant, there, kind, (on) => `GRANT ${privileges.join(', ')} ON ${on} TO ${role}`);
  return [
    `GRANT USAGE${grant.create ? ', CREATE' : ''} ON SCHEMA ${name(grant.schema)} TO ${role}`,
    ...give(grant.privileges, 'TABLE'),
    ...give(sequencePrivileges(grant.privileges), 'SEQUENCE'),
  ];
}

/** Takes back what {@link grantIn} gives. Taking back what was never given is nothing. */
export function revokeIn(user: string, grant: SchemaWish, there: SchemaObjects): string[] {
  const role = name(user);
  const take = (kind: Kind): string[] => each(grant, there, kind, (on) => `REVOKE ALL ON ${on} FROM ${role}`);
  return [`REVOKE ALL ON SCHEMA ${name(grant.schema)} FROM ${role}`, ...take('TABLE'), ...take('SEQUENCE')];
}

type Kind = 'TABLE' | 'SEQUENCE';

/**
 * One statement for all objects of a kind that there are, and one for those that each owner makes later: ALTER DEFAULT
 * PRIVILEGES holds for the objects of one role; without FOR ROLE, for those of whoever says it.
 */
function each(grant: SchemaWish, there: SchemaObjects, kind: Kind, statement: (on: string) => string): string[] {
  const schema = name(grant.schema);
  const objects = (kind === 'TABLE' ? there.tables : there.sequences).map((object) => `${schema}.${name(object)}`);
  const owners = grant.owners.length === 0 ? [''] : grant.owners.map((owner) => `FOR ROLE ${name(owner)} `);
  return [
    ...(objects.length === 0 ? [] : [statement(`${kind} ${objects.join(', ')}`)]),
    ...owners.map((owner) => `ALTER DEFAULT PRIVILEGES ${owner}IN SCHEMA ${schema} ${statement(`${kind}S`)}`),
  ];
}

/** A setting of this role in this database: another database's user of the same name keeps its own. */
export function setSetting({ user, database }: UserWish, setting: string, values: readonly string[]): string {
  return `${inDatabase(user, database)} SET ${settingName(setting)} TO ${values.map(literal).join(', ')}`;
}

export const resetSetting = ({ user, database }: UserWish, setting: string): string =>
  `${inDatabase(user, database)} RESET ${settingName(setting)}`;

const inDatabase = (user: string, database: string): string => `ALTER ROLE ${name(user)} IN DATABASE ${name(database)}`;

/** `myapp.tenant` is two names. Settings are looked up in lower case, as quoted ones are not. */
const settingName = (setting: string): string => setting.toLowerCase().split('.').map(name).join('.');
