/** Stops a deployment whose functions could open more connections than the server takes. */
import { Annotations, Stack } from 'aws-cdk-lib';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import * as rds from 'aws-cdk-lib/aws-rds';
import { Construct, type IConstruct } from 'constructs';
import { lineOf, type RegisterOptions, type Shared } from './budget-function.ts';
import {
  type Budget,
  type BudgetLine,
  connectionsOf,
  explainOverBudget,
  type ProxyLine,
  room,
  wanted,
} from './budget-report.ts';
import { limitOf, type ServerLimit } from './max-connections.ts';
import { nameAmong } from './resources.ts';

export type { RegisterOptions };

/** Says what {@link ConnectionBudget} adds up against. */
export interface ConnectionBudgetProps {
  /**
   * The server's `max_connections` (`SHOW max_connections`).
   *
   * @default - that of `database`
   */
  readonly maxConnections?: number;

  /**
   * The server, of which `max_connections` is taken: as its parameter group says, else estimated from its class or ACUs.
   *
   * @default - `maxConnections` must be given
   */
  readonly database?: rds.IDatabaseCluster | rds.IDatabaseInstance;

  /**
   * Connections that the functions leave alone.
   *
   * @default 10: 3 that PostgreSQL keeps for superusers (`superuser_reserved_connections`), 2 that RDS keeps for
   * rds_superuser (`rds.rds_superuser_reserved_connections`; AWS re:Post, "remaining connection slots are reserved"),
   * and 5 for migrations, monitoring and people
   */
  readonly reserve?: number;

  /**
   * How many invocations the account runs at once in this region: the limit of functions without a concurrency of their own.
   *
   * @default 1000, which is what AWS gives an account (AWS Lambda Developer Guide, "Lambda quotas")
   */
  readonly accountConcurrency?: number;
}

interface Registered {
  readonly fn: lambda.Function;
  readonly options: RegisterOptions;
}

const defaultReserve = 10;
const defaultAccountConcurrency = 1000;

/**
 * Adds up, at synth time, how many connections the registered functions and proxies can open at once, sandboxes × max ×
 * workers, and fails the synth when the server has no room for them. Provisioned concurrency adds nothing: it is part of
 * a function's concurrency.
 *
 * @throws Error when the server's limit cannot be told from `database`, and for numbers that are none.
 */
export class ConnectionBudget extends Construct {
  readonly #props: ConnectionBudgetProps;
  readonly #registered: Registered[] = [];
  readonly #proxies: { readonly proxy: IConstruct; readonly percent: number | undefined }[] = [];

  constructor(scope: Construct, id: string, props: ConnectionBudgetProps) {
    super(scope, id);
    this.#props = props;
    if (props.maxConnections === undefined && props.database === undefined) {
      throw new Error(
        `${this.node.path}: give maxConnections (SHOW max_connections), or the database to take it from.`,
      );
    }
    for (const name of ['maxConnections', 'reserve', 'accountConcurrency'] as const)
      checkWhole(this, name, props[name], 0);
    this.node.addValidation({ validate: () => this.#validate() });
  }

  /** Counts a function. What is left out is read from it at synth time, so that it may still change until then. */
  register(fn: lambda.Function, options: RegisterOptions = {}): this {
    for (const name of ['max', 'workers', 'concurrency'] as const)
      checkWhole(fn, name, options[name], name === 'concurrency' ? 0 : 1);
    this.#registered.push({ fn, options });
    return this;
  }

  /**
   * Counts the connections that a proxy may open to the server.
   *
   * @param maxConnectionsPercent - what its target group says unless given; RDS Proxy's own default is 100
   */
  registerProxy(
    proxy: rds.DatabaseProxy | { readonly proxy: rds.DatabaseProxy },
    maxConnectionsPercent?: number,
  ): this {
    checkWhole(this, 'maxConnectionsPercent', maxConnectionsPercent, 1, 100);
    this.#proxies.push({ proxy: 'proxy' in proxy ? proxy.proxy : proxy, percent: maxConnectionsPercent });
    return this;
  }

  /** How many connections all that is registered so far can open at once. */
  get connections(): number {
    return wanted(this.#budget());
  }

  /** The server's `max_connections`, as far as it is known: given, from its parameter group, or estimated. */
  get maxConnections(): number {
    return this.#limit().maxConnections;
  }

  /** How many connections there is room for: the server's limit less the reserve. */
  get room(): number {
    return room(this.#budget());
  }

  #validate(): string[] {
    try {
      const text = explainOverBudget(this.#budget());
      this.#warnShared();
      return text === undefined ? [] : [text];
    } catch (error) {
      return [(error as Error).message];
    }
  }

  #limit(): ServerLimit {
    const { maxConnections, database } = this.#props;
    if (maxConnections !== undefined) return { maxConnections, source: 'as given' };
    // One of the two is there: the constructor has seen to it.
    return limitOf(database as rds.IDatabaseCluster);
  }

  #budget(): Budget {
    const { reserve = defaultReserve } = this.#props;
    return { ...this.#limit(), reserve, lines: this.#lines(), proxies: this.#proxyLines() };
  }

  #counting(): { readonly fn: lambda.Function; readonly line: BudgetLine | Shared }[] {
    return this.#registered.flatMap(({ fn, options }) => {
      const line = lineOf(fn, this.#nameOf(fn), options);
      return line === undefined ? [] : [{ fn, line }];
    });
  }

  #proxyLines(): ProxyLine[] {
    return this.#proxies.map(({ proxy, percent = declaredPercent(proxy) }) => ({ name: this.#nameOf(proxy), percent }));
  }

  #nameOf(construct: IConstruct): string {
    return nameAmong(
      construct,
      [...this.#registered, ...this.#proxies].map((one) => ('fn' in one ? one.fn : one.proxy)),
    );
  }

  /** Functions without a concurrency of their own share the account's: together they have no more sandboxes than that. */
  #lines(): BudgetLine[] {
    const { accountConcurrency = defaultAccountConcurrency } = this.#props;
    const lines = this.#counting().map(({ line }) => line);
    const own = lines.filter((line) => line.sandboxes !== undefined);
    const shared = lines.filter((line) => line.sandboxes === undefined);
    const reserved = own.reduce((sum, { sandboxes }) => sum + sandboxes, 0);
    const widest = shared.map((line) => ({ ...line, sandboxes: Math.max(0, accountConcurrency - reserved) }));
    const [first] = widest.toSorted((one, other) => connectionsOf(other) - connectionsOf(one));
    if (first === undefined) return own;
    return [...own, { ...first, name: shared.map(({ name }) => name).join(' + ') }];
  }

  #warnShared(): void {
    const { accountConcurrency = defaultAccountConcurrency } = this.#props;
    for (const { fn, line } of this.#counting()) {
      if (line.sandboxes !== undefined) continue;
      Annotations.of(fn).addWarningV2(
        'thawpool:connectionBudgetConcurrency',
        `${line.name} has no reserved concurrency: it counts with all ${accountConcurrency} invocations that the account ` +
          'runs at once, less what others have reserved. Set reservedConcurrentExecutions, or pass concurrency to register().',
      );
    }
  }
}

function checkWhole(
  scope: IConstruct,
  name: string,
  value: number | undefined,
  least: number,
  most = Number.POSITIVE_INFINITY,
): void {
  if (value === undefined || (Number.isInteger(value) && value >= least && value <= most)) return;
  const range = most === Number.POSITIVE_INFINITY ? `from ${least}` : `from ${least} to ${most}`;
  throw new Error(`${scope.node.path}: ${name} must be a whole number ${range}, got ${value}.`);
}

/** What a proxy's target group says of it. RDS Proxy's own default is 100 (Amazon RDS User Guide, "MaxConnectionsPercent"). */
function declaredPercent(proxy: IConstruct): number {
  const group = proxy.node.findAll().find((one) => one instanceof rds.CfnDBProxyTargetGroup);
  const pool = (group && Stack.of(group).resolve(group.connectionPoolConfigurationInfo)) as
    | { maxConnectionsPercent?: unknown }
    | undefined;
  const declared = pool?.maxConnectionsPercent;
  return typeof declared === 'number' ? declared : 100;
}
