// What the constructs write into a function's environment: names from the table of src/env.ts and from nowhere else,
// values checked by its rules. A value that is known only at deployment is passed on unchecked.

import { Stack, Token } from 'aws-cdk-lib';
import type { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { EnvError, type OptionName, readEnv, variables } from '../../src/env.ts';
import { resourceOf } from './resources.ts';

/** Names an environment variable of thawpool: those of `src/env.ts`, written out so that an editor offers them. */
export type VariableName =
  | 'DATABASE_URL'
  | 'PGAPPNAME'
  | 'PGDATABASE'
  | 'PGHOST'
  | 'PGPASSWORD'
  | 'PGPORT'
  | 'PGSSLMODE'
  | 'PGSSLNEGOTIATION'
  | 'PGSSLROOTCERT'
  | 'PGUSER'
  | 'THAWPOOL_ACQUIRE_TIMEOUT_MS'
  | 'THAWPOOL_AUTH'
  | 'THAWPOOL_DEADLINE_RESERVE_MS'
  | 'THAWPOOL_IDLE_TIMEOUT_MS'
  | 'THAWPOOL_MAX'
  | 'THAWPOOL_MAX_IDLE'
  | 'THAWPOOL_MAX_LIFETIME_MS'
  | 'THAWPOOL_MAX_PER_ENVIRONMENT'
  | 'THAWPOOL_METRICS'
  | 'THAWPOOL_METRICS_NAMESPACE'
  | 'THAWPOOL_PINNING'
  | 'THAWPOOL_PROXY_FALLBACK'
  | 'THAWPOOL_PROXY_HOST'
  | 'THAWPOOL_READER_HOST'
  | 'THAWPOOL_READER_MAX'
  | 'THAWPOOL_READ_ONLY'
  | 'THAWPOOL_ROUTE'
  | 'THAWPOOL_SECRET_ARN'
  | 'THAWPOOL_STATEMENT_CACHE'
  | 'THAWPOOL_STATEMENT_TIMEOUT_MS'
  | 'THAWPOOL_VALIDATE_AFTER_IDLE_MS'
  | 'THAWPOOL_VALIDATE_TIMEOUT_MS';

/** Values of environment variables by name; each may be a token. */
export type Environment = Readonly<Record<string, string>>;

/** Returns the environment variable of an option. */
export function nameOf(option: OptionName): string {
  const variable = variables.find((candidate) => candidate.option === option);
  if (variable === undefined) throw new Error(`${option} is not an option of thawpool.`);
  return variable.name;
}

/** Returns the default of an option that is a number. */
export function defaultOf(option: OptionName): number {
  return Number(variables.find((variable) => variable.option === option)?.default);
}

/** Turns options into environment variables, leaves out what is undefined and checks what is known at synth. */
export function environmentOf(
  values: Readonly<Partial<Record<OptionName, string | undefined>>>,
  where: string,
): Environment {
  const named = Object.entries(values).flatMap(([option, value]) =>
    value === undefined ? [] : [[nameOf(option as OptionName), value] as const],
  );
  return checked(Object.fromEntries(named), where);
}

/**
 * Checks variables that a user gives, and returns them.
 *
 * @param owned - variables that the construct decides about: why each cannot be given here
 * @throws Error that names each variable that thawpool does not have, that has a bad value or that is the construct's.
 */
export function givenEnvironment(
  given: Readonly<Partial<Record<string, string>>>,
  owned: ReadonlyMap<string, string>,
  where: string,
): Environment {
  const known = new Set(variables.map(({ name }) => name));
  for (const [name, value] of Object.entries(given)) {
    if (!known.has(name)) throw new Error(`${where}: ${unknownName(name, value)}`);
    const reason = owned.get(name);
    if (reason !== undefined) throw new Error(`${where}: environment has ${name}, but ${reason}.`);
  }
  return checked(defined(given), where);
}

const defined = (given: Readonly<Partial<Record<string, string>>>): Environment =>
  Object.fromEntries(Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));

function unknownName(name: string, value: string | undefined): string {
  const [nearest] = /^THAWPOOL/i.test(name) ? readEnv({ [name]: value || 'x' }).warnings : [];
  return nearest === undefined
    ? `environment has ${name}, which thawpool does not read: give it to the function itself.`
    : `environment: ${nearest}.`;
}

function checked(environment: Environment, where: string): Environment {
  try {
    readEnv(Object.fromEntries(Object.entries(environment).filter(([, value]) => !Token.isUnresolved(value))));
  } catch (error) {
    throw error instanceof EnvError ? new Error(`${where}: ${error.message}.`, { cause: error }) : error;
  }
  return environment;
}

/** Returns the environment that a function has so far, as the template will show it. */
export function presentEnvironment(fn: LambdaFunction): Readonly<Record<string, unknown>> {
  const resource = resourceOf(fn, 'AWS::Lambda::Function');
  const environment = Stack.of(fn).resolve(resource?.environment) as
    | { variables?: Record<string, unknown> }
    | undefined;
  return environment?.variables ?? {};
}

/**
 * Tells where a function's environment contradicts what is to be in it. The same value twice is no contradiction.
 *
 * @param owned - variables that may not be there unless `wanted` has them: the reason for each
 */
export function conflicts(
  fn: LambdaFunction,
  wanted: Environment,
  owned: ReadonlyMap<string, string>,
): readonly string[] {
  const present = presentEnvironment(fn);
  const stack = Stack.of(fn);
  const sameAsWanted = (name: string): boolean =>
    JSON.stringify(present[name]) === JSON.stringify(stack.resolve(wanted[name]));
  const names = new Set([...Object.keys(wanted), ...owned.keys()]);
  return [...names]
    .filter((name) => name in present && !sameAsWanted(name))
    .map((name) => {
      const reason = owned.get(name) ?? 'PooledDatabaseAccess sets another value';
      return `The function ${fn.node.path} has ${name} in its environment, but ${reason}: remove it there.`;
    });
}
