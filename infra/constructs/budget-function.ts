/** What a function adds to a `ConnectionBudget`, read from its declaration. */
import {
  DefaultTokenResolver,
  type IPostProcessor,
  type IResolvable,
  type IResolveContext,
  Reference,
  StringConcat,
  Token,
  Tokenization,
} from 'aws-cdk-lib';
import { CfnFunction, type Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { CfnDBProxy, CfnDBProxyEndpoint } from 'aws-cdk-lib/aws-rds';
import type { IConstruct } from 'constructs';
import { readEnv, variables } from '../../src/env.ts';
import type { BudgetLine } from './budget-report.ts';

/** Says what is known of a function beside what it declares. */
export interface RegisterOptions {
  /**
   * Connections of each pool.
   *
   * @default - the function's THAWPOOL_MAX, else thawpool's own default
   */
  readonly max?: number;
  /**
   * Worker threads in each environment, on Lambda Managed Instances.
   *
   * @default 1
   */
  readonly workers?: number;
  /**
   * Sandboxes that there can be at the same time. On Lambda Managed Instances: environments.
   *
   * @default - the function's reserved concurrency, else a share of `accountConcurrency`
   */
  readonly concurrency?: number;
  /**
   * Connects to a proxy, whose own connections are what counts.
   *
   * @default - whether its environment says so (THAWPOOL_PROXY_HOST without a fallback, THAWPOOL_ROUTE)
   */
  readonly proxied?: boolean;
}

/** A function whose sandboxes nobody has limited. */
export type Shared = Omit<BudgetLine, 'sandboxes'> & { readonly sandboxes: undefined };

const defaultMax = Number(variables.find(({ option }) => option === 'max')?.default);

/**
 * Reads what counts of a function; nothing for one that connects to a proxy.
 *
 * @throws Error when a number is only known on deployment, or is none.
 */
export function lineOf(fn: LambdaFunction, name: string, options: RegisterOptions): BudgetLine | Shared | undefined {
  const { defaultChild } = fn.node;
  if (!(defaultChild instanceof CfnFunction))
    throw new Error(`${fn.node.path} is no function of this app: it cannot be counted.`);
  const env = environmentOf(defaultChild);
  if (options.proxied ?? behindProxy(env)) return undefined;
  const managed = defaultChild.capacityProviderConfig !== undefined;
  if (managed && (options.workers === undefined || options.concurrency === undefined)) {
    throw new Error(
      `${fn.node.path} runs on Lambda Managed Instances: pass concurrency (environments) and workers (threads in each) to register().`,
    );
  }
  const sandboxes = options.concurrency ?? defaultChild.reservedConcurrentExecutions;
  if (Token.isUnresolved(sandboxes))
    throw new Error(
      `${fn.node.path}: reservedConcurrentExecutions is only known on deployment. Pass concurrency to register().`,
    );
  return {
    name,
    sandboxes,
    max: options.max ?? numberIn(fn, env, 'max') ?? defaultMax,
    workers: options.workers ?? 1,
    perSandbox: numberIn(fn, env, 'maxPerEnvironment'),
  };
}

/** What stands for a reference to a proxy, once resolved. */
const aProxy = '(a proxy)';

/** Resolves as a template is, save that what a proxy is called becomes recognisable, in whatever stack the proxy is. */
class ProxySpotter extends DefaultTokenResolver {
  override resolveToken(token: IResolvable, context: IResolveContext, postProcessor: IPostProcessor): unknown {
    const target = Reference.isReference(token) ? token.target : undefined;
    if (target instanceof CfnDBProxy || target instanceof CfnDBProxyEndpoint) return aProxy;
    return super.resolveToken(token, context, postProcessor) as unknown;
  }
}

function environmentOf(fn: CfnFunction): Readonly<Record<string, unknown>> {
  const resolver = new ProxySpotter(new StringConcat());
  const resolved = Tokenization.resolve(fn.environment, { scope: fn, resolver, preparing: false }) as
    | { variables?: Record<string, unknown> }
    | undefined;
  return resolved?.variables ?? {};
}

/** A fallback past the proxy needs room at the server after all. */
function behindProxy(env: Readonly<Record<string, unknown>>): boolean {
  if (env['THAWPOOL_PROXY_FALLBACK'] === 'direct') return false;
  const { THAWPOOL_PROXY_HOST: proxy, THAWPOOL_ROUTE: route, PGHOST: host } = env;
  // The names that RDS gives to proxies (Amazon RDS User Guide, "Viewing an RDS Proxy").
  const named = host === aProxy || /\.proxy-[^.]+\./.test(String(host));
  return proxy !== undefined || route === 'rds-proxy' || named;
}

/** Where a number is, and what to do when it is only known on deployment. */
const numbers = {
  max: { name: 'THAWPOOL_MAX', instead: 'Pass max to register()' },
  maxPerEnvironment: { name: 'THAWPOOL_MAX_PER_ENVIRONMENT', instead: 'Write the number itself' },
} as const;

function numberIn(
  fn: IConstruct,
  env: Readonly<Record<string, unknown>>,
  option: keyof typeof numbers,
): number | undefined {
  const { name, instead } = numbers[option];
  const value = env[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'string') throw new Error(`${fn.node.path}: ${name} is only known on deployment. ${instead}.`);
  return readEnv({ [name]: value }).values[option];
}
