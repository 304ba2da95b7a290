/** The tables of the order service. */
import type { Queryable } from './queryable.ts';

// Any number will do, as long as nothing else in this database takes it.
const MIGRATION_LOCK = 7_205_759;

const SCHEMA = `
  create table if not exists orders (
    id uuid primary key default gen_random_uuid(),
    customer text not null,
    total_cents bigint not null check (total_cents >= 0),
    created_at timestamptz not null default now()
  );
  create index if not exists orders_created_at on orders (created_at);
  create table if not exists order_items (
    order_id uuid not null references orders on delete cascade,
    line int not null,
    sku text not null,
    quantity int not null check (quantity > 0),
    price_cents bigint not null check (price_cents >= 0),
    primary key (order_id, line)
  );
  create table if not exists processed_messages (
    message_id text primary key,
    processed_at timestamptz not null default now()
  );
  create table if not exists reports (
    day date primary key,
    orders int not null,
    customers int not null,
    revenue_cents numeric not null,
    made_at timestamptz not null default now()
  )`;

/** Creates what is missing. Call it in a transaction: the lock that keeps two of them apart ends with it. */
export async function migrate(tx: Queryable): Promise<void> {
  // CREATE … IF NOT EXISTS alone is no protection: two at once can both find nothing, and one of them fails.
  await tx.query('select pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
  await tx.query(SCHEMA);
}
