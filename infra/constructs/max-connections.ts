/** How many connections a server takes, as far as that can be told from what is declared of it. */
import { type IResolvable, Reference, Stack, Tokenization } from 'aws-cdk-lib';
import * as rds from 'aws-cdk-lib/aws-rds';
import type { IConstruct } from 'constructs';

/** A server's limit, and where it is from, in words. */
export interface ServerLimit {
  readonly maxConnections: number;
  readonly source: string;
}

type Point = readonly [gibibytes: number, connections: number];

/**
 * What AWS documents for Aurora Serverless v2, whose default of `max_connections` goes by the memory of the highest
 * capacity (Amazon Aurora User Guide, "Maximum connections for Aurora serverless"); one ACU is 2 GiB. Everywhere the
 * default is LEAST({DBInstanceClassMemory/9531392}, 5000) (Amazon RDS User Guide, "Maximum number of database
 * connections"), but DBInstanceClassMemory is what the operating system and RDS leave over, which is documented here alone.
 * Reported by users for classes of 2, 4 and 8 GiB: 198, 413, 856.
 */
const [least, ...more]: readonly [Point, ...Point[]] = [
  [2, 189],
  [8, 823],
  [16, 1669],
  [32, 3360],
  [64, 5000],
];

/** Half an ACU of minimum, or none, keeps the limit of a Serverless v2 below this (the same page). */
const lowCapacityLimit = 2000;

/**
 * GiB of the size `xlarge`: memory doubles with each doubling of the size (Amazon RDS User Guide, "Hardware specifications
 * for DB instance classes"). Before the first generation a size had other memory: 15.25 GiB in r4.large.
 */
const families: Readonly<Record<string, { readonly perXlarge: number; readonly first: number }>> = {
  r: { perXlarge: 32, first: 5 },
  m: { perXlarge: 16, first: 5 },
  t: { perXlarge: 16, first: 2 },
};
const smallSizes: Readonly<Record<string, number>> = { micro: 1 / 16, small: 1 / 8, medium: 1 / 4, large: 1 / 2 };

/** Estimates the default of `max_connections` from memory: straight lines between what is documented. */
export function connectionsFor(gibibytes: number): number {
  let [memory, connections] = least;
  for (const [nextMemory, nextConnections] of more) {
    const slope = (nextConnections - connections) / (nextMemory - memory);
    if (gibibytes < nextMemory) return Math.floor(connections + slope * (gibibytes - memory));
    [memory, connections] = [nextMemory, nextConnections];
  }
  return connections;
}

/** GiB of an instance class such as `db.r7g.large`; nothing for one that is not in the families r, m and t. */
export function memoryOf(instanceClass: string): number | undefined {
  const [, letter, generation, times, size] =
    /^db\.([a-z])(\d+)[a-z]*\.(?:(\d*)xlarge|(\w+))$/.exec(instanceClass) ?? [];
  const family = families[String(letter)];
  if (family === undefined || Number(generation) < family.first) return undefined;
  const factor = times === undefined ? smallSizes[String(size)] : Number(times || 1);
  // r and m begin at large.
  return factor === undefined || (letter !== 't' && factor < 1 / 2) ? undefined : factor * family.perXlarge;
}

/** Estimates the default of `max_connections` of an Aurora Serverless v2. `min` and `max` are ACUs. */
export function connectionsOfServerless(min: number, max: number): number {
  const byMemory = connectionsFor(max * 2);
  return min <= 0.5 ? Math.min(byMemory, lowCapacityLimit) : byMemory;
}

/**
 * Finds how many connections a database takes: what its parameter group says, else the default for its class or its
 * capacity; the smallest of all its instances, since a failover may make any of them the writer.
 *
 * @throws Error when that cannot be told from what is declared: for an imported database, and for a class outside of r, m and t.
 */
export function limitOf(database: IConstruct): ServerLimit {
  const parts = database.node.findAll();
  const clusters = parts.filter((one) => one instanceof rds.CfnDBCluster);
  const instances = parts.filter((one) => one instanceof rds.CfnDBInstance);
  const [cluster] = clusters;
  const ofCluster = cluster && fromGroup(database, cluster.dbClusterParameterGroupName);
  const classes = cluster?.dbClusterInstanceClass === undefined ? [] : [cluster.dbClusterInstanceClass];
  const limits = [
    ...instances.map(
      (one) =>
        fromGroup(database, one.dbParameterGroupName) ?? ofCluster ?? byClass(database, one.dbInstanceClass, cluster),
    ),
    ...classes.map((name) => ofCluster ?? byClass(database, name, cluster)),
  ];
  const [smallest] = limits.toSorted((one, other) => one.maxConnections - other.maxConnections);
  if (smallest === undefined) throw unknown(database, 'it is not declared in this app, so that its class is not known');
  return smallest;
}

function unknown(database: IConstruct, why: string): Error {
  return new Error(
    `How many connections ${database.node.path} takes cannot be told: ${why}. Ask the server (SHOW max_connections) and ` +
      'give the number: new ConnectionBudget(scope, id, { maxConnections: … }).',
  );
}

function byClass(
  database: IConstruct,
  declared: string | undefined,
  cluster: rds.CfnDBCluster | undefined,
): ServerLimit {
  const name: unknown = Stack.of(database).resolve(declared);
  if (typeof name !== 'string') throw unknown(database, 'its instance class is only known on deployment');
  if (name === 'db.serverless') return byCapacity(database, cluster);
  const memory = memoryOf(name);
  if (memory === undefined)
    throw unknown(database, `the memory of the class ${name} is not in the table (families r, m and t)`);
  return { maxConnections: connectionsFor(memory), source: `estimated for ${name}, ${memory} GiB` };
}

function byCapacity(database: IConstruct, cluster: rds.CfnDBCluster | undefined): ServerLimit {
  const range = (cluster && Stack.of(database).resolve(cluster.serverlessV2ScalingConfiguration)) as
    | { minCapacity?: unknown; maxCapacity?: unknown }
    | undefined;
  const [min, max] = [range?.minCapacity, range?.maxCapacity];
  if (typeof min !== 'number' || typeof max !== 'number') throw unknown(database, 'the range of its ACUs is not known');
  return { maxConnections: connectionsOfServerless(min, max), source: `estimated for ${min} to ${max} ACU` };
}

/** `max_connections` of a parameter group; nothing where there is no group, or it leaves that out. */
function fromGroup(database: IConstruct, name: string | undefined): ServerLimit | undefined {
  const token = Tokenization.reverse(name, { failConcat: false });
  const group = Reference.isReference(token) ? token.target : undefined;
  if (!(group instanceof rds.CfnDBParameterGroup || group instanceof rds.CfnDBClusterParameterGroup)) return undefined;
  const parameters = Stack.of(group).resolve(group.parameters as IResolvable) as Record<string, unknown> | undefined;
  const value = parameters?.['max_connections'];
  if (value === undefined) return undefined;
  const maxConnections = Number(value);
  if (Number.isInteger(maxConnections)) return { maxConnections, source: 'max_connections of its parameter group' };
  throw unknown(database, `max_connections of its parameter group is no number but ${JSON.stringify(value)}`);
}
