/**
 * `thawpool/cdk`: AWS CDK constructs that give Lambda functions a database. It knows the table of environment variables and
 * nothing else of the pool; importing `thawpool` never loads it.
 */
export { ConnectionBudget, type ConnectionBudgetProps, type RegisterOptions } from './connection-budget.ts';
export { DatabaseUser, type DatabaseUserProps } from './database-user.ts';
export { PoolDashboard, type PoolDashboardProps } from './pool-dashboard.ts';
export { PooledDatabaseAccess, type PooledDatabaseAccessProps } from './pooled-database-access.ts';
export { PooledDatabaseProxy, type PooledDatabaseProxyProps } from './pooled-database-proxy.ts';
export type { VariableName } from './variables.ts';
